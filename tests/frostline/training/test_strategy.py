"""MirroredStrategy: two replicas train the same numbers as one, and each keeps the frozen weights still."""

import json
import os
import re
import subprocess

import keras
import numpy as np
import pytest

from frostline.data import batches

from tests.support import pictures, processes, rounding
from tests.support.in_memory import memory
from tests.support.stages import Bench

SGD = {"optimizer": "sgd", "clip_norm": 1.0}
# A kernel's gradient sums over the images of a batch and all positions that it is applied at: 16 images of 32 x 32
# pixels in the first block, the longest sum there is. Three convolutions and two dense layers follow one another.
LONGEST_SUM, LAYERS, BATCHES = 16 * 32 * 32, 5, 4


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    root = tmp_path_factory.mktemp("replicas")
    bench = Bench(root)
    bench.data(pictures.make(root / "photos", 30))  # 63 to train on: batches of 15 and 16, uneven for two replicas
    return bench


def trained(bench, count, name, **options):
    """What `count` replicas come to, and what they said."""
    out = bench.root / f"{name}-{count}.npz"
    command = processes.command("replicas", count, bench.root, out, json.dumps(options))
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return np.load(out), ended.stderr


def largest_difference(one, two):
    arrays = [name for name in one.files if name.startswith("arr_")]
    assert len(arrays) >= 17  # 15 backbone tensors, the logits' kernel and bias
    return max(np.abs(one[name] - two[name]).max() for name in arrays)


def test_each_part_lies_on_its_replicas_device_before_the_step_and_nothing_else_passes_through_it():
    command = processes.command("dealing")
    logging = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=logging)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    images = memory(13)
    means, labels = images.variants[0].mean(axis=(1, 2, 3)), images.examples.labels
    for batch, positions in zip(found["parts"], batches.cut(np.arange(13), 7), strict=True):
        middle = -(-len(positions) // 2)
        for tensor, expected in zip(batch, (means[positions], labels[positions], range(len(positions))), strict=True):
            assert [part["device"] for part in tensor] == found["devices"]
            np.testing.assert_allclose(tensor[0]["values"], expected[:middle], rtol=1e-6)
            np.testing.assert_allclose(tensor[1]["values"], expected[middle:], rtol=1e-6)
    executed = re.findall(r"Executing op (\S+) in device (\S+)", ended.stdout + ended.stderr)
    assert ("SplitV", found["cpu"]) in executed
    own = {"VarHandleOp", "AssignVariableOp", "_EagerConst"}  # a variable of the strategy itself
    on_replicas = [(name, device) for name, device in executed if device in found["devices"] and name not in own]
    assert sorted(on_replicas) == sorted([("Identity", device) for device in found["devices"]] * 3 * 2)


def test_two_replicas_train_the_same_numbers_as_one_dropout_included(bench):
    bench.plan({"through": "block1"})
    options = {"epochs": 3, "learning_rate": 0.01, "training": SGD, "head": {"hidden": [16], "dropout": 0.5}}
    one, two = (trained(bench, count, "dropout", **options)[0] for count in (1, 2))
    assert [int(result["replicas"]) for result in (one, two)] == [1, 2]
    assert bool(one["verified"])
    assert bool(two["verified"])
    allowed = rounding.limit(LONGEST_SUM, LAYERS, steps=3 * BATCHES)
    assert largest_difference(one, two) <= allowed
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=allowed)
    np.testing.assert_allclose(one["validation_loss"], two["validation_loss"], rtol=allowed)
    np.testing.assert_array_equal(one["validation_accuracy"], two["validation_accuracy"])


def test_validation_gives_the_same_scores_on_three_replicas_whatever_is_left_for_each():
    found = []
    for replicas in (1, 3):
        command = processes.command("validating", replicas)
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == 0, ended.stderr[-2000:]
        found.append(json.loads(ended.stdout))
    one, three = found
    assert list(one) == list(three) == ["1", "2", "5", "8", "20"]
    for count in one:
        assert three[count]["validation_accuracy"] == one[count]["validation_accuracy"]
        assert three[count]["validation_loss"] == pytest.approx(one[count]["validation_loss"], rel=1e-6)
        assert three[count]["used"] == [0, 1, 2]
    assert len({row["validation_loss"] for row in one.values()}) == 5


def test_synchronized_batch_norm_trains_the_same_numbers_too(bench):
    bench.plan({"none": True, "batch_norm": "follow"})
    training = {"optimizer": "sgd", "synchronized_batch_norm": True}
    options = {"epochs": 2, "learning_rate": 0.01, "training": training}
    one, two = (trained(bench, count, "synchronized", **options)[0] for count in (1, 2))
    allowed = rounding.limit(LONGEST_SUM, LAYERS, steps=2 * BATCHES)
    assert largest_difference(one, two) <= allowed
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=allowed)


def test_batch_norm_that_trains_on_each_replica_by_itself_is_told(bench):
    bench.plan({"none": True, "batch_norm": "follow"})
    _, said = trained(bench, 2, "own", epochs=1, learning_rate=0.01, training={"optimizer": "sgd"})
    assert "BatchNorm trains on each replica's own images: results depend on the replica count" in said


def test_regularizers_count_once_however_many_replicas_there_are(bench):
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    for number, filters in enumerate((8, 8), start=1):
        strong = keras.regularizers.L2(0.5)
        x = keras.layers.Conv2D(filters, 3, strides=2, kernel_regularizer=strong, name=f"block{number}_conv")(x)
    keras.Model(image, x).save(bench.root / "mine.keras")
    bench.plan({"none": True}, backbone=str(bench.root / "mine.keras"), weights="own")
    options = {"epochs": 2, "learning_rate": 0.01, "training": SGD, "cache": {"mode": "off"}}
    one, two = (trained(bench, count, "regularized", **options)[0] for count in (1, 2))
    differences = [np.abs(one[name] - two[name]).max() for name in one.files if name.startswith("arr_")]
    assert max(differences) <= rounding.limit(LONGEST_SUM, LAYERS, steps=2 * BATCHES)
