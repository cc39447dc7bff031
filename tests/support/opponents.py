"""A challenger on made-up test images, and versions that it is compared with, whose predictions are given."""

import hashlib
import json

import numpy as np

from frostline import registry
from frostline.data import lineage
from frostline.evaluation.champion import Challenger

LABELS = ["amber", "cobalt", "jade"]
COUNT = 60
TRUTH = np.arange(COUNT) % 3


def digest(name):
    return hashlib.sha256(str(name).encode()).hexdigest()


def challenger(labels=LABELS, count=COUNT, correct=0.8, metadata=False):
    """Image `i` has class `i % labels`; the first images are predicted correctly, the others as the next class."""
    truth = np.arange(count) % len(labels)
    rows = [{"id": str(i), "sha256": digest(i), "label": int(label)} for i, label in enumerate(truth)]
    if metadata:
        rows = [{**row, "metadata": {"camera": "phone" if i < count // 4 else "lens"}} for i, row in enumerate(rows)]
    said = np.where(np.arange(count) < correct * count, truth, (truth + 1) % len(labels))
    return Challenger(labels, rows, sure(said, len(labels)))


def sure(said, classes):
    """[examples, classes] float32, most of it on what is said."""
    return np.where(np.eye(classes)[said] == 1, 0.9, 0.1 / (classes - 1)).astype(np.float32)


def wrong(first, last):
    """Predictions that are wrong from image `first` to `last`, and correct elsewhere."""
    return np.where((np.arange(COUNT) >= first) & (np.arange(COUNT) < last), (TRUTH + 1) % 3, TRUTH)


def publish(directory, name="old", labels=LABELS, made_with=("elsewhere",), without=()):
    """A version of which only the files that a comparison reads are real."""
    model = directory / f"model-{name}"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(name.encode())
    document = {"schema": "frostline/model/v1", "labels": labels, "model_digest": name}
    (model / "model.json").write_text(json.dumps(document))
    lineage.write(model, {"train": [digest(one) for one in made_with], "validation": []})
    for file in without:
        (model / file).unlink()
    return registry.publish(str(directory / "registry"), "toy", model, identity=name, metadata={})


def serve(directory, **fields):
    """Publish and promote a first version; returns the registry."""
    root = str(directory / "registry")
    registry.promote(root, publish(directory, **fields), expected=None, reason="first")
    return root


def sign(root, number, signer, scratch):
    """Sign a version that is there."""
    version = registry.load(root, "toy", number)
    assert registry.sign(version, registry.download(version, scratch, copy=True), signer.private)


def saying(said=None, **by_name):
    """Predicts `said`, or by the version's name, whatever it is fed; checks that it is fed the rows in order."""

    def predict(directory, rows):
        name = (directory / "saved_model.pb").read_bytes().decode()
        values = by_name[name] if by_name else said
        assert [row["id"] for row in rows] == [str(i) for i in range(len(values))]
        return sure(values, len(LABELS))

    return predict
