"""Trainings that are disturbed and go on: what is trained, what a training came to, and faults in a process of its own.

What is trained has everything in it that could differ after going on: hidden layers and Dropout, BatchNorm that
trains, a phase that stops early with its best weights and one that unfreezes, a schedule, AdamW, variants of images.
"""

import json
import subprocess
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace

from tests.support import pictures, processes
from tests.support.stages import Bench

FREEZE = {
    "through": "block1",
    "batch_norm": "follow",
    "phases": [{"policy": "none", "epochs": 2, "learning_rate": 0.002}],
}
TRAINING = {
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup_steps": 2,
    "patience": 1,
    "monitor": "validation_accuracy",
}
OPTIONS = {
    "epochs": 4,
    "batch_size": 21,
    "learning_rate": 0.001,
    "head": {"hidden": [16], "dropout": 0.3},
    "augment": {"flip": True, "crop": 0.2, "colour": 0.3, "views": 2},
    "training": TRAINING,
}
STEPS = 3  # an epoch: 63 images, uneven for two replicas
COLUMNS = ("epoch", "phase", "loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate")


def prepare(root, freeze=None, **plan):
    """A bench up to the plan, and what featurize decided; no features are in the store."""
    bench = Bench(root)
    bench.data(pictures.make(root / "photos", 30))
    plan_again(bench, freeze or FREEZE, **plan)
    return bench


def plan_again(bench, freeze, options=OPTIONS, **plan):
    """Plan, and let featurize decide for these options."""
    bench.plan(freeze, **plan)
    featurize(bench, options)


def featurize(bench, options=OPTIONS):
    bench.featurize(options["epochs"], augment=options["augment"], cache=options.get("cache"))


def train(bench, place, **options):
    """Train in this process, with the store and the model below `place`; the store is empty at first."""
    bench = Bench(bench.root)
    bench.store = str(Path(place) / "store")
    bench.train(**{**OPTIONS, **options}, model=str(Path(place) / "model"), featurize=False, keep=True)
    return outcome(place)


def outcome(place):
    """What must be the same: the digest of the model and the numbers of each epoch, to the last bit."""
    model = Path(place) / "model"
    rows = [json.loads(line) for line in (model / "training.jsonl").read_text().splitlines()]
    history = [{name: row.get(name) for name in COLUMNS} for row in rows]
    return json.loads((model / "model.json").read_text())["model_digest"], history


def report(place):
    return json.loads((Path(place) / "model" / "training.json").read_text())


def checkpoints(place):
    """Their files, the oldest first."""
    return sorted((Path(place) / "store" / "checkpoints").glob("*/[0-9]*.npz"))


def step_of(path):
    return int(path.name.split(".")[0])


def save_after(steps, patch=setattr):
    """Let the clock that checkpoints go by count steps, and steps wait for them.

    So they do not depend on how fast the machine is.
    """
    from frostline.training import loop, state

    taken = 0
    original = loop.Trainer.step

    def step(*arguments):
        nonlocal taken
        taken += 1
        return original(*arguments)

    begin = state.Saver.begin

    def begin_and_wait(self, *arguments):
        begin(self, *arguments)
        wait([self._writing])

    patch(state.Saver, "begin", begin_and_wait)
    patch(loop.Trainer, "step", step)
    patch(state, "time", SimpleNamespace(monotonic=lambda: taken))
    return {"checkpoint_seconds": steps}


def command(bench, place, devices=1, every=1, point=None, number=1, signal="SIGKILL", **options):
    """A training in a process of its own, which saves after `every` steps and ends at the `number`th `point`."""
    what = {"devices": devices, "every": every, "point": point, "number": number, "signal": signal}
    return processes.command("faults", bench.root, place, json.dumps(what), json.dumps(options))


def run(bench, place, **what):
    """Run `command`: what it ended with."""
    return subprocess.run(command(bench, place, **what), capture_output=True, text=True, timeout=300, check=False)
