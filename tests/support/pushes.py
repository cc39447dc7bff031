"""Pushes that are disturbed: what is pushed, what the registry has afterwards, and a push in a process that is killed.

`python -m tests.support.pushes RUN_DIR ROOT WHAT` pushes. WHAT is JSON: `number`, the last write to the registry, and
`when` the process kills itself: `before` or `after` that write, or `unlinked`, when the file is written but not named.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

from frostline import artifacts, digests, registry, storage
from frostline.data import lineage
from frostline.documents.evaluation import EVALUATION_FILES
from frostline.documents.release import DECISION_FILES
from frostline.documents.training import MODEL_FILES
from frostline.publishing import push

from tests.support import processes, reports
from tests.support.parquet import write_predictions

ACCURACY = {"value": 0.9, "low": 0.85, "high": 0.94, "method": "wilson"}
NAME = "digits"
# Which write of a push to an empty registry it is: the first is the claim, then come the SavedModel's four files, what
# the steps wrote, and two cards.
SERVABLE = 1 + 4 + len(MODEL_FILES + EVALUATION_FILES + DECISION_FILES) + 2
MANIFEST, STANDING, ALIAS, RECORD = range(SERVABLE + 1, SERVABLE + 5)
LABELS = ["dark", "light"]


def pictures():
    """Three small images, as a client sends them."""
    from PIL import Image

    found = []
    for grey in (20, 120, 220):
        buffer = io.BytesIO()
        Image.new("RGB", (16, 16), (grey, grey, grey)).save(buffer, "PNG")
        found.append(buffer.getvalue())
    return found


IMAGES = pictures()


def trained(directory):
    """What train wrote, `model/`, and the golden batch of its export: made once, and only to be copied."""
    from frostline.documents.freeze import FREEZE_PLAN
    from frostline.documents.training import HISTORY
    from frostline.evaluation import golden
    from frostline.freeze import certificate
    from frostline.model.config import HeadConfig
    from frostline.model.serving import Served
    from frostline.training.emission import emit

    from tests.support.in_memory import SIZE, Made

    made, model = Made(directory / "training", {"through": "block1"}, epochs=1), directory / "model"
    state = made.run()
    model.mkdir()
    FREEZE_PLAN.write(model, made.subject.plan)
    plan = FREEZE_PLAN.read(model)  # as train reads it
    source = certificate.combined_digest({name: copies[0] for name, copies in state.digests[0].items()})
    comparison = certificate.certify(plan, made.schedule, state.digests, state.slots, source_digest=source)
    HISTORY.write(model, made.rows)
    artifacts.write_json(model / "training.json", "training", {"sentences": []})
    lineage.write(model, {"train": ["1" * 64], "validation": ["2" * 64]})
    info = {"labels": LABELS, "image_size": SIZE, "dataset_digest": "a" * 64}
    emit(made.model, comparison, plan, info, HeadConfig(), {}, model)
    with Served(model / "serving") as served:
        golden.write(directory, IMAGES, served.predict(IMAGES))
    return directory


def rename(model, name):
    """Give the model's labels another name, and with it another digest; it still verifies. Returns the digest."""
    from frostline.documents.freeze import CERTIFICATE
    from frostline.documents.training import MODEL
    from frostline.freeze import certificate

    described = MODEL.read(model)
    described["labels"] = [f"{name}, {label}" for label in LABELS]
    identity = {key: described[key] for key in ("labels", "image_size", "backbone", "head")}
    proof = CERTIFICATE.read(model)
    described["model_digest"] = digests.of_json({"weights": proof["weights_digest"], **identity})
    MODEL.write(model, described)
    changes = {"model_digest": described["model_digest"], "files": certificate.file_digests(model)}
    CERTIFICATE.write(model, certificate.seal({**proof, **changes}))
    return described["model_digest"]


class Run:
    """The artifacts of one run, up to and including the decision."""

    def __init__(self, directory, root, made, name="d1", champion=None, approval="none", attempt=None, **decided):
        self.directory, self.root = directory, str(root)
        shutil.copytree(made / "model", directory / "model")
        self.digest = digest = rename(directory / "model", name)
        against = champion and {**reports.champion(), **champion}
        split = {"digest": "split", "promotions": 0}
        evaluation = reports.evaluation(model_digest=digest, accuracy=ACCURACY, champion=against, test_split=split)
        if attempt is not None:
            evaluation["attempt"] = attempt
            write_predictions(directory / "evaluation", [("a" * 64, 0), ("b" * 64, 1)])
        self.write("evaluation", "evaluation", **evaluation)
        shutil.copy(made / "golden.parquet", directory / "evaluation")
        decided_on = artifacts.read_json(directory / "evaluation" / "evaluation.json", "evaluation")
        decision = {**reports.decision(), "model_digest": digest, "reason": "not worse", "approval": approval}
        decision |= decided
        decision["evaluation_digest"] = digests.of_json(decided_on)
        self.write("decision", "decision", **decision)
        (directory / "decision" / "decision.md").write_text("# promote\n")
        artifacts.write_json(directory / "decision" / "validation.json", "validation", {"valid": True, "problems": []})

    def write(self, folder, kind, **payload):
        artifacts.write_json(self.directory / folder / f"{kind}.json", kind, payload)

    def push(self, published="published"):
        return push_(self.directory, self.root, published)

    def published(self):
        return artifacts.read_json(self.directory / "published" / "version.json", "published")

    def die(self, **what):
        """Push in a process that kills itself; return the ended process."""
        return subprocess.run(self.command(**what), capture_output=True, text=True, timeout=120, check=False)

    def command(self, **what):
        return processes.command("pushes", self.directory, self.root, json.dumps(what))


def push_(directory, root, published="published"):
    places = {name: str(directory / name) for name in ("model", "evaluation", "decision")}
    return push.run(**places, model_name=NAME, registry=root, published=str(directory / published))


def compared_with(root, model=NAME):
    """The champion, as evaluation.json names it."""
    alias = registry.champion(str(root), model)
    return {"version": alias.version, "manifest_digest": alias.manifest_digest, "promotion": alias.promotion}


def content(root, model=NAME):
    """Everything that a registry has of a model, without times and random names."""
    found = {}
    for item in storage.list_files(storage.join(root, model)):
        name = item.uri.removeprefix(f"{root}/{model}/")
        data = storage.read_bytes(item.uri)
        if name.startswith("versions/"):
            found[name] = data
            continue
        document = json.loads(data)
        for field in ("claimed_at", "promoted_at", "promotion", "seal"):
            document.pop(field, None)
        (document.get("compared_with") or {}).pop("promotion", None)
        found[name.split("-")[0]] = document
    return found


class Reader:
    """Reads a model repeatedly in a thread and collects what no reader should ever see; a context manager."""

    def __init__(self, root, model=NAME):
        self.root, self.model = root, model
        self.seen, self.looks = [], 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._look()

    def _read(self):
        while not self._over.is_set():
            self._look()

    def _look(self):
        try:
            alias = registry.champion(self.root, self.model)
            if alias is not None:
                version = registry.look_up(self.root, f"registry:{self.model}/{alias.version}")
                if version.manifest_digest != alias.manifest_digest:
                    self.seen.append(f"the alias names another version {alias.version}")
            for version in registry.versions(self.root, self.model):
                self._check(version)
        except Exception as error:
            self.seen.append(f"{type(error).__name__}: {error}")
        self.looks += 1

    def _check(self, version):
        stored = {item.uri.removeprefix(f"{version.uri}/"): item.size for item in storage.list_files(version.uri)}
        wanted = {name: entry["size"] for name, entry in version.manifest["files"].items()}
        still = version in registry.versions(self.root, self.model)
        if still and not wanted.items() <= stored.items():
            self.seen.append(f"version {version.number} lacks {sorted(wanted.keys() - stored.keys())}")


def killed_and_repeated(undisturbed, root, number, when):
    """Push, die at a write, push again: the registry ends as if nothing had happened, and no reader noticed."""
    run, expected = undisturbed
    run.root = root
    with Reader(root) as reader:
        ended = run.die(number=number, when=when)
        assert ended.returncode == -9, ended.stderr
        run.push()
    assert reader.seen == []
    assert content(root) == expected


class Writes:
    """Counts the writes to a registry, and calls `strike(number, when)` around each."""

    def __init__(self, root, strike=lambda *_: None, patch=setattr):
        self.root, self.strike, self.number = root, strike, 0
        self._lock = threading.Lock()
        self._numbers = threading.local()
        for name, place in (("write_bytes", 0), ("upload_file", 1)):
            patch(storage, name, self._around(getattr(storage, name), place))
        link = os.link

        def unlinked(source, target, **named):  # a finished file gets its name; before that it is a .partial
            if str(target).startswith(self.root) and not str(target).endswith(".partial"):
                self.strike(self._numbers.current, "unlinked")
            return link(source, target, **named)

        patch(os, "link", unlinked)

    def _around(self, original, place):
        def counted(*arguments, **named):
            if not arguments[place].startswith(self.root):
                return original(*arguments, **named)
            with self._lock:
                self.number += 1
                number = self._numbers.current = self.number
            self.strike(number, "before")
            result = original(*arguments, **named)
            self.strike(number, "after")
            return result

        return counted


def main(directory, root, what):
    def strike(number, when):
        if (number, when) == (what.get("number"), what.get("when")):
            os.kill(os.getpid(), signal.SIGKILL)

    Writes(root, strike)
    print(push_(Path(directory), root))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
