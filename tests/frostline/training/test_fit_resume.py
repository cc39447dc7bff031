"""A training that is killed, stopped or starved goes on, and ends in the bits of one that nothing disturbed.

Single replicas go on in the tests' own process, whom the killed one left nothing but its store; two replicas, and all
that is killed, train in a process each. Checkpoints are due by steps and not by seconds.
"""

import shutil
import subprocess
from pathlib import Path

import keras
import pytest
from PIL import Image

from frostline import artifacts, digests
from frostline.data import batches, examples
from frostline.errors import NonFiniteLoss, StorageError
from frostline.training import checkpoint, phase_run

from tests.support import pictures, resuming
from tests.support.resuming import STEPS
from tests.support.stages import Bench

KILLED = -9
PLAIN = {"training": {}, "augment": {}, "head": {}, "cache": {"mode": "off"}}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return resuming.prepare(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def undisturbed(bench, tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    result = resuming.train(bench, place)
    assert [resuming.step_of(path) for path in resuming.checkpoints(place)] == [5 * STEPS]  # until evaluate has read it
    return result


@pytest.fixture(scope="module")
def killed(bench, tmp_path_factory):
    """The store of a training that was killed while it wrote the checkpoint of step 8: those of 5 to 7 are there."""
    place = tmp_path_factory.mktemp("killed")
    assert resuming.run(bench, place, point="checkpoint-unnamed", number=8).returncode == KILLED
    assert [resuming.step_of(path) for path in resuming.checkpoints(place)] == [5, 6, 7]
    assert list(place.rglob(".*.npz.*.partial"))
    return place


@pytest.fixture
def copied(killed, tmp_path):
    shutil.copytree(killed / "store", tmp_path / "store")
    return tmp_path


def test_what_goes_on_here_stops_early_goes_back_to_its_best_weights_and_unfreezes(undisturbed):
    _, history = undisturbed
    first = [row for row in history if row["phase"] == 1]
    assert 2 * STEPS < 8 < len(first) * STEPS  # step 8 comes after the best epoch, 2, and before the phase ends
    assert max(first, key=lambda row: row["validation_accuracy"])["epoch"] == 2
    assert len(first) == 3 < resuming.OPTIONS["epochs"]
    assert [row["phase"] for row in history[3:]] == [2, 2]


def test_killed_while_it_writes_a_checkpoint_it_goes_on_from_the_one_before(bench, undisturbed, copied):
    assert resuming.train(bench, copied) == undisturbed
    assert resuming.report(copied)["resumed_from"] == 7
    assert [resuming.step_of(path) for path in resuming.checkpoints(copied)] == [5 * STEPS]


def test_a_training_whose_model_did_not_arrive_is_not_repeated(bench, undisturbed, copied, monkeypatch):
    resuming.train(bench, copied)
    shutil.rmtree(copied / "model")
    monkeypatch.setattr(phase_run.PhaseRun, "epoch", lambda *_: pytest.fail("an epoch was trained again"))
    assert resuming.train(bench, copied) == undisturbed
    assert resuming.report(copied)["resumed_from"] == 5 * STEPS


def test_killed_in_a_feature_write_and_once_more_before_the_first_step(bench, undisturbed, tmp_path):
    assert resuming.run(bench, tmp_path, point="pack-half", number=2).returncode == KILLED
    packs = sorted((tmp_path / "store" / "features").rglob("*"))
    assert len([path for path in packs if path.suffix == ".bin"]) == 2  # of three, the second without its sidecar
    assert resuming.run(bench, tmp_path, point="before-step", number=1).returncode == KILLED
    assert resuming.train(bench, tmp_path) == undisturbed
    assert resuming.report(tmp_path)["resumed_from"] is None


def test_killed_between_phases_and_told_to_stop_in_the_middle_of_an_epoch(bench, undisturbed, tmp_path):
    assert resuming.run(bench, tmp_path, every=100, point="phase-saved", number=1).returncode == KILLED
    stopped = resuming.run(bench, tmp_path, every=100, point="after-step", number=STEPS + 2, signal="SIGTERM")
    [newest, _] = sorted(resuming.checkpoints(tmp_path), reverse=True)
    assert stopped.returncode == 143
    assert stopped.stdout == f"stopped at step {4 * STEPS + 2}; the next attempt resumes from {newest}\n"
    assert f"resuming from the checkpoint at step {3 * STEPS}" in stopped.stderr
    assert resuming.train(bench, tmp_path) == undisturbed
    assert resuming.report(tmp_path)["resumed_from"] == 4 * STEPS + 2


def test_two_replicas_whose_batch_norm_trains_go_on_from_the_middle_of_an_epoch(bench, tmp_path):
    options = {"epochs": 2, "devices": 2, "augment": {"flip": True}, "cache": {"mode": "off"}}
    other = Bench(tmp_path / "bench")
    shutil.copytree(bench.root, other.root, ignore=shutil.ignore_patterns("features-*", "plan*"))
    resuming.plan_again(other, {"none": True, "batch_norm": "follow"}, options=options)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert resuming.run(other, whole, **options).returncode == 0
    assert resuming.run(other, broken, **options, point="after-step", number=STEPS + 2).returncode == KILLED
    assert resuming.run(other, broken, **options).returncode == 0
    assert resuming.outcome(broken) == resuming.outcome(whole)
    assert (resuming.report(broken)["resumed_from"], resuming.report(broken)["replicas"]) == (STEPS + 1, 2)


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(bench, undisturbed, copied, damage, capfd):
    newest = resuming.checkpoints(copied)[-1]
    data = bytearray(newest.read_bytes())
    if damage == "truncated":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    assert resuming.train(bench, copied) == undisturbed
    assert resuming.report(copied)["resumed_from"] == 6
    assert f"{newest}: is damaged" in capfd.readouterr().err


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 0.01}, {"cache": {"mode": "auto", "dtype": "float16"}}],
    ids=["learning rate", "features"],
)
def test_another_configuration_does_not_go_on_from_these_checkpoints(bench, undisturbed, copied, change):
    others = resuming.checkpoints(copied)
    resuming.featurize(bench, {**resuming.OPTIONS, **change})
    try:
        assert resuming.train(bench, copied, **change) != undisturbed
    finally:
        resuming.featurize(bench)
    assert resuming.report(copied)["resumed_from"] is None
    assert set(others) < set(resuming.checkpoints(copied))  # which the old one may still go on from


def test_a_disk_that_takes_no_more_is_told_in_one_line_and_once_it_does_training_goes_on(bench, undisturbed, copied):
    """A limit on the size of files stands in for the disk; a disk that is really full is tried on checkpoints alone."""
    features = Path(bench.store) / "features"  # as featurize left them: nothing is written before the checkpoint
    shutil.copytree(features, copied / "store" / "features", dirs_exist_ok=True)
    limited = ["prlimit", "--fsize=500000", *resuming.command(bench, copied)]
    ended = subprocess.run(limited, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 1
    assert ended.stdout.startswith(str(copied / "store" / "checkpoints"))
    assert ended.stdout.endswith(": File too large\n")
    assert ended.stdout.count("\n") == 1
    assert resuming.train(bench, copied) == undisturbed
    assert resuming.report(copied)["resumed_from"] == 7


def full(*_, **__):
    raise StorageError("store: no space left on device")


def test_a_last_checkpoint_that_cannot_be_written_is_a_warning(bench, undisturbed, tmp_path, monkeypatch, capfd):
    """The disk is full after the last step, whose checkpoint is still being written when training is done."""
    original = checkpoint.Checkpoints.save

    def save(self, step, *arguments):
        return full() if step == 5 * STEPS else original(self, step, *arguments)

    monkeypatch.setattr(checkpoint.Checkpoints, "save", save)
    often = resuming.save_after(1, monkeypatch.setattr)
    assert resuming.train(bench, tmp_path, training={**resuming.TRAINING, **often}) == undisturbed
    told = "no space left on device; training is done and goes on without this checkpoint"
    assert capfd.readouterr().err.count(told) == 2
    assert [resuming.step_of(path) for path in resuming.checkpoints(tmp_path)] == [5 * STEPS - 1]


def test_checkpoints_that_cannot_be_removed_are_a_warning(bench, undisturbed, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(checkpoint.Checkpoints, "clear", full)
    assert resuming.train(bench, tmp_path) == undisturbed
    assert "no space left on device; the model is written, and what the training no longer" in capfd.readouterr().err


def own(make, tmp_path, freeze):
    """A bench whose backbone is a user's own model."""
    make().save(tmp_path / "mine.keras")
    bench = Bench(tmp_path / "bench")
    bench.data(tmp_path / "photos")
    bench.plan(freeze, backbone=str(tmp_path / "mine.keras"), weights="own")
    bench.featurize(2, cache=PLAIN["cache"])
    return bench


def noisy():
    """Noise above a layer that trains: in a block that trains, and in one that is frozen."""
    keras.utils.set_random_seed(3)
    image = x = keras.Input((32, 32, 3))
    for number in (1, 2, 3):
        x = keras.layers.Conv2D(8, 3, strides=2, name=f"block{number}_conv")(x)
        x = keras.layers.GaussianNoise(0.1, name=f"block{number}_noise")(x)
        x = keras.layers.ReLU(name=f"block{number}_out")(x)
    return keras.Model(image, x)


def test_noise_that_is_drawn_from_a_counter_goes_on_where_it_was(tmp_path):
    pictures.make(tmp_path / "photos", 30)
    bench = own(noisy, tmp_path, {"match": "block2"})
    options = {"epochs": 2, "learning_rate": 0.01, **PLAIN}
    whole = resuming.train(bench, tmp_path / "whole", **options)
    broken = tmp_path / "broken"
    assert resuming.run(bench, broken, **options, point="after-step", number=STEPS + 2).returncode == KILLED
    assert resuming.train(bench, broken, **options) == whole
    assert resuming.report(broken)["resumed_from"] == STEPS + 1


def contrasting():
    """Divides an image by its mean, as a user might: a black one becomes no number."""
    keras.utils.set_random_seed(3)
    image = keras.Input((32, 32, 3))
    x = image / keras.ops.mean(image, axis=(1, 2, 3), keepdims=True)
    return keras.Model(image, keras.layers.Conv2D(8, 3, strides=2, name="block1_conv")(x))


def test_a_loss_that_is_no_number_names_its_step_its_images_and_the_last_good_checkpoint(tmp_path, monkeypatch):
    Image.new("RGB", (40, 40)).save(pictures.make(tmp_path / "photos", 30) / "jade" / "black.png")
    bench = own(contrasting, tmp_path, {"none": True})
    records = artifacts.read_json(Path(bench.path("info")) / "info.json", "info")["records"]
    ids = examples.load(records, "train", tmp_path).ids
    digest = digests.of_file(tmp_path / "photos" / "jade" / "black.png")
    parts = batches.cut(batches.order(len(ids), 0, 0), resuming.OPTIONS["batch_size"])
    [step] = [number for number, part in enumerate(parts, start=1) if ids.index(digest) in part]
    assert step > 2
    every = resuming.save_after(1, monkeypatch.setattr)
    with pytest.raises(NonFiniteLoss) as caught:
        resuming.train(bench, tmp_path, epochs=2, **{**PLAIN, "training": every})
    [*_, good, suspect] = resuming.checkpoints(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"step {step} (epoch 1): the loss is nan; the last good checkpoint is at step {step - 2}")
    assert str(good) in message
    assert str(suspect) not in message
    assert digest[:12] in message
