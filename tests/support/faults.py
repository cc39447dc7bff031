"""Train on N logical CPUs and be interrupted: `python -m tests.support.faults BENCH_DIR PLACE WHAT OPTIONS`.

WHAT is JSON: `devices`; `every`, steps between two checkpoints; `point` (see `POINTS`; null for none), `number`, at
which of the times it is reached, and `signal`, what the process then sends itself. OPTIONS are those of `Bench.train`.
An error of Frostline is printed, and its exit code is the process's.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from frostline import artifacts, storage
from frostline.errors import FrostlineError
from frostline.features import packs
from frostline.model import export
from frostline.text import one_line
from frostline.training import checkpoint, fit, loop, phase_run

from tests.support import resuming
from tests.support.stages import Bench

_reached = 0


def reached():
    """The point is reached once more; the process may not come back."""
    global _reached
    _reached += 1
    if _reached == WHAT["number"]:
        os.kill(os.getpid(), signal.Signals[WHAT["signal"]])


def before(owner, name, matches=lambda *_: True):
    """Reach the point before each call of a function whose arguments match."""
    original = getattr(owner, name)

    def hooked(*arguments, **named):
        if matches(*arguments):
            reached()
        return original(*arguments, **named)

    setattr(owner, name, hooked)


def after(owner, name):
    """Reach the point after each call of a function."""
    original = getattr(owner, name)

    def hooked(*arguments, **named):
        result = original(*arguments, **named)
        reached()
        return result

    setattr(owner, name, hooked)


def training(install):
    """Install a hook once the model's own training begins: the probe of Keras before it takes steps too."""
    original = fit.Fit.phases

    def phases(self):
        install()
        return original(self)

    fit.Fit.phases = phases


def ends(suffix):
    return lambda *arguments: any(str(one).endswith(suffix) for one in arguments)


def is_sidecar(uri, *_):
    return "/features/" in uri and not uri.endswith("used.json")


POINTS = {
    "before-step": lambda: training(lambda: before(loop.Trainer, "step")),
    "after-step": lambda: training(lambda: after(loop.Trainer, "step")),
    "checkpoint-begun": lambda: before(np, "savez"),
    "checkpoint-unnamed": lambda: before(Path, "replace", ends(".npz")),  # written, not renamed
    "checkpoint-unpruned": lambda: before(storage, "delete", ends(".npz")),
    "validation": lambda: training(lambda: before(loop.Trainer, "validate")),
    "epoch-over": lambda: after(phase_run.PhaseRun, "epoch"),
    "phase-unsaved": lambda: before(phase_run.PhaseRun, "finish"),
    "phase-saved": lambda: after(phase_run.PhaseRun, "finish"),
    "pack-half": lambda: before(packs.storage, "write_bytes", is_sidecar),  # rows without a sidecar
    "export": lambda: before(export, "save"),  # model.keras is written
    "model-unnamed": lambda: before(artifacts, "write_file", ends("model.json")),
    "not-cleared": lambda: before(checkpoint.Checkpoints, "clear"),
}


def main(root, place, options):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * WHAT["devices"])
    training = {**options.pop("training", resuming.TRAINING), **resuming.save_after(WHAT["every"])}
    if WHAT["point"]:
        POINTS[WHAT["point"]]()
    try:
        resuming.train(Bench(root), place, training=training, **options)
    except FrostlineError as error:
        print(one_line(error))
        sys.exit(error.exit_code)


WHAT = json.loads(sys.argv[3])
if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[4]))
