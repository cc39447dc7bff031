"""A trained model, to be verified and damaged."""

import shutil

import pytest

from tests.support import pictures
from tests.support.stages import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    """Two phases: the head, then all layers after block1. Dropout gives the model a variable that is not a weight."""
    root = tmp_path_factory.mktemp("verify")
    bench = Bench(root)
    bench.data(pictures.make(root / "photos", 30))
    second = {"policy": {"through": "block1"}, "epochs": 1, "learning_rate": 0.001}
    bench.plan({"head_only": True, "phases": [second]})
    bench.train(epochs=1, head={"dropout": 0.2})
    bench.train(epochs=1, head={"dropout": 0.2}, seed=1, model="other")
    return bench


@pytest.fixture
def model_dir(bench, tmp_path):
    """A copy of the trained model's directory, to be damaged."""
    return shutil.copytree(bench.path("model"), tmp_path / "model")
