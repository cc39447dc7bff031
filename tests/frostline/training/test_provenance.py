"""Provenance names the sources of data and weights, and its digest is that of the configuration."""

import platform

import keras
import tensorflow as tf

from frostline.section import parse
from frostline.training.config import SessionSettings
from frostline.training.provenance import provenance

INFO = {"source": "gs://photos", "manifest_digest": "m" * 64, "counts": {"train": {"a": 3}}}
SOURCE = {"reference": "registry:toy@champion", "resolved": "toy/3", "digest": "d", "uri": "u"}
PLAN = {"backbone": "SmallConvNet", "policy": {"head_only": True}}
SETTINGS = {
    "head": {}, "training": {}, "augment": {}, "cache": {},
    "epochs": 2, "batch_size": 8, "learning_rate": 0.1, "seed": 0, "store": "/store",
}  # fmt: skip


def made(plan=PLAN, image="image:1", **changed):
    return provenance(parse(SessionSettings, {**SETTINGS, **changed}), INFO, plan, SOURCE, image)


def test_it_names_where_everything_came_from():
    found = made()
    assert (found["source"], found["manifest_digest"], found["counts"]) == tuple(INFO.values())
    assert found["weights"] == {"reference": "registry:toy@champion", "resolved": "toy/3"}
    assert found["image"] == "image:1"
    assert found["versions"]["python"] == platform.python_version()
    assert (found["versions"]["tensorflow"], found["versions"]["keras"]) == (tf.__version__, keras.__version__)
    assert found["versions"]["frostline"]


def test_the_digest_changes_with_whatever_changes_the_training_and_with_nothing_else():
    same = made()["config_digest"]
    assert made(store="/elsewhere", image="image:2")["config_digest"] == same
    others = [
        made(epochs=3), made(seed=1), made(head={"hidden": [4]}), made(training={"patience": 1}),
        made(augment={"flip": True}), made(cache="off"), made({**PLAN, "policy": {"none": True}}),
    ]  # fmt: skip
    digests = {one["config_digest"] for one in others}
    assert len(digests) == len(others)
    assert same not in digests
