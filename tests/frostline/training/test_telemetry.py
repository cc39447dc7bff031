"""What bounds a run, and its history as TensorBoard reads it."""

import itertools
import os
import subprocess
import sys
import time

import pytest

from frostline.training.telemetry import INPUT_BOUND, Clock, Scalars, bound

ROW = {
    "epoch": 3,
    "phase": 1,
    "loss": 0.25,
    "accuracy": 1,
    "validation_loss": 0.5,
    "validation_accuracy": 0.75,
    "learning_rate": 1e-3,
    "images_per_second": 85.5,
    "input_wait": 0.125,
}


@pytest.fixture
def seconds(monkeypatch):
    """A stopped clock; `seconds(n)` advances it by n seconds."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def pass_by(count):
        now[0] += count

    return pass_by


def slow(seconds, count, each):
    for item in range(count):
        seconds(each)
        yield item


def test_a_lap_has_the_time_the_rate_and_the_fraction_spent_waiting(seconds):
    clock = Clock()
    received = []
    for item in clock.waiting(slow(seconds, 4, 0.5)):
        received.append(item)
        seconds(1.5)
    assert received == [0, 1, 2, 3]
    assert clock.lap(400) == {"seconds": 8.0, "images_per_second": 50.0, "input_wait": 0.25}


def test_each_lap_starts_from_nothing(seconds):
    clock = Clock()
    items = clock.waiting(slow(seconds, 2, 3.0))
    next(items)
    clock.lap(1)
    seconds(2.0)
    assert clock.lap(10) == {"seconds": 2.0, "images_per_second": 5.0, "input_wait": 0.0}
    next(items)
    seconds(1.0)
    assert clock.lap(10)["input_wait"] == 0.75


def test_the_wait_for_the_end_counts_and_an_error_of_the_input_comes_through(seconds):
    def ends_late():
        yield 1
        seconds(3.0)
        raise OSError("gone")

    clock = Clock()
    with pytest.raises(OSError, match="gone"):
        list(clock.waiting(ends_late()))
    assert clock.lap(0)["input_wait"] == 1.0


def test_a_lap_in_which_no_time_passed_is_no_error(seconds):
    assert Clock().lap(0) == {"seconds": 1e-9, "images_per_second": 0.0, "input_wait": 0.0}


def test_items_are_taken_one_at_a_time(seconds):
    numbers = itertools.count()
    next(Clock().waiting(numbers))
    assert next(numbers) == 1


@pytest.mark.parametrize(
    ("wait", "cached", "sentence"),
    [
        (0.03, True, "bound by compute: 3 % of the time spent waiting for input"),
        (0.0, False, "bound by compute: 0 % of the time spent waiting for input"),
        (INPUT_BOUND, False, "bound by input (decoding records): 20 % of the time spent waiting for input"),
        (0.6, True, "bound by reading cached features: 60 % of the time spent waiting for input"),
    ],
)
def test_one_sentence_says_what_a_run_is_bound_by(wait, cached, sentence):
    assert bound(wait, cached) == sentence


def test_peak_memory_is_in_bytes_and_stays_when_memory_is_freed():
    """In a process of its own, whose peak is known to be that of this block; without a GPU there is no device."""
    code = """
from frostline.training.telemetry import peak_memory
before = peak_memory()["host_bytes"]
block = bytearray(before + 50_000_000)
block[::4096] = b"x" * len(block[::4096])
size = len(block)
del block
print(before, size, peak_memory()["host_bytes"], peak_memory()["device_bytes"])
"""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    told = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
    before, size, after = map(int, told.split()[:3])
    assert before > 50_000_000  # Python with TensorFlow in it: KiB would be fewer
    assert size < after < size + before + 50_000_000
    assert told.split()[3] == "{}"


def scalars(directory):
    """What event files hold: records of protocol buffers, which TensorBoard reads in the same way."""
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    found = {}
    for record in tf.data.TFRecordDataset(sorted(map(str, directory.iterdir()))):
        event = event_pb2.Event.FromString(record.numpy())
        for value in event.summary.value:
            assert value.WhichOneof("value") == "simple_value"  # what TensorBoard shows as a scalar
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_tensorboard_reads_every_number_of_every_row(tmp_path):
    with Scalars(str(tmp_path / "logs")) as written:
        written.write(ROW)
        written.write({**ROW, "epoch": 4, "loss": 0.125, "note": "text", "best": True, "absent": None})
    read = scalars(tmp_path / "logs")
    assert set(read) == {
        "train/phase",
        "train/loss",
        "train/accuracy",
        "train/learning_rate",
        "train/images_per_second",
        "train/input_wait",
        "validation/loss",
        "validation/accuracy",
    }
    assert read["train/loss"] == [(3, 0.25), (4, 0.125)]
    assert read["validation/accuracy"] == [(3, 0.75), (4, 0.75)]
    assert read["train/accuracy"] == [(3, 1.0), (4, 1.0)]
    assert read["train/learning_rate"][0] == (3, pytest.approx(1e-3, rel=1e-6))


def test_a_row_can_be_read_before_the_run_is_over(tmp_path):
    with Scalars(str(tmp_path)) as written:
        written.write(ROW)
        assert scalars(tmp_path)["train/loss"] == [(3, 0.25)]


def test_measuring_time_does_not_load_tensorflow():
    code = "import sys, frostline.training.telemetry, frostline.training.checkpoint; print('tensorflow' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
