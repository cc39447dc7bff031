"""MirroredStrategy: two replicas train the same numbers as one, and each keeps the frozen weights still."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pictures
from stages import Bench

HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("replicas")
    bench = Bench(root)
    bench.data(pictures.make(root / "photos", 30))  # 63 to train on: batches of 15 and 16, uneven for two replicas
    bench.plan({"through": "block1"})
    found = {}
    for count in (1, 2):
        out = root / f"{count}.npz"
        subprocess.run([sys.executable, HELPERS / "replicas.py", str(count), root, out], check=True, timeout=300)
        found[count] = np.load(out)
    return found


def test_two_replicas_are_used_and_hold_still_what_is_frozen(results):
    assert [int(results[count]["replicas"]) for count in (1, 2)] == [1, 2]
    assert all(bool(results[count]["verified"]) for count in (1, 2))


def test_two_replicas_train_the_same_numbers_as_one(results):
    one, two = results[1], results[2]
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-5)
    arrays = [name for name in one.files if name.startswith("arr_")]
    assert len(arrays) == 17  # 15 backbone tensors, the logits' kernel and bias
    for name in arrays:
        np.testing.assert_allclose(one[name], two[name], atol=2e-5)
