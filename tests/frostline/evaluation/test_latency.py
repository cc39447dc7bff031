"""Latency: percentiles per batch size, of the calls of an evaluation and a few more, and the size of what is served."""

from types import SimpleNamespace

import pytest

from frostline.evaluation import latency


class Model:
    """Takes some seconds per call on a clock of its own, and records the images that it was given."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds, self.calls = clock, seconds, []

    def predict(self, images):
        self.calls.append(list(images))
        self.clock[0] += self.seconds(len(self.calls)) if callable(self.seconds) else self.seconds
        return len(self.calls)


@pytest.fixture
def served(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    return lambda seconds: Model(clock, seconds)


def test_percentiles_are_in_milliseconds_and_the_first_call_does_not_count(served):
    model = served(lambda call: 0.4 if call in (1, 102) else (call % 101) / 1.1e4)
    found = latency.Timer(model).measure([b"image"])
    assert [row["batch"] for row in found["latency"]] == [1, 32]
    for row in found["latency"]:
        assert row["calls"] == 100
        assert row["p50"] == pytest.approx(4.55, abs=0.1)
        assert row["p95"] == pytest.approx(8.64, abs=0.1)
        assert row["p50"] < row["p95"] < row["p99"] < 10
    assert found["throughput"] == pytest.approx(32_000 / found["latency"][1]["p50"])


@pytest.mark.parametrize(("seconds", "calls", "most"), [(0.2, (2, 2), 1.2), (0.9, (1, 1), 1.8), (40.0, (1, 1), 80.0)])
def test_a_slow_model_is_called_for_a_second_or_once_with_each_size(served, seconds, calls, most):
    slow = served(seconds)
    found = latency.Timer(slow).measure([b"image"])
    assert [row["calls"] for row in found["latency"]] == list(calls)
    assert all(row["p50"] == pytest.approx(1000 * seconds) for row in found["latency"])
    assert slow.clock[0] <= most + 1e-9


def test_the_calls_of_the_evaluation_count_and_are_not_made_again(served):
    model = served(2.1)
    timer = latency.Timer(model)
    images = [bytes([number]) for number in range(32)]
    assert [timer.predict(images) for _ in range(3)] == [1, 2, 3]
    timer.predict(images[:5])  # what is left at the end, and no batch size
    before = model.clock[0]
    found = latency.Timer.measure(timer, images)
    assert [(row["batch"], row["calls"]) for row in found["latency"]] == [(1, 1), (32, 2)]
    assert [len(call) for call in model.calls] == [32, 32, 32, 5, 1]
    assert model.clock[0] - before == pytest.approx(2.1)


def test_images_take_turns_and_fill_the_large_batch(served):
    model = served(0.1)
    images = [bytes([number]) for number in range(5)]
    latency.Timer(model).measure(images)
    assert model.calls[:6] == [[image] for image in (*images, images[0])]
    large = next(call for call in model.calls if len(call) > 1)
    assert large == (images * 7)[:32]


def test_the_size_is_that_of_all_files(tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"x" * 70)
    (tmp_path / "variables" / "variables.index").write_bytes(b"x" * 7)
    assert latency.size_bytes(tmp_path) == 77
