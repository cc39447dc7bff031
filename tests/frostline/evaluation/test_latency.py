"""Latency: percentiles per batch size, few calls for a slow model, and the size of what is served."""

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


@pytest.fixture
def served(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    return lambda seconds: Model(clock, seconds)


def test_percentiles_are_in_milliseconds_and_the_warm_up_does_not_count(served):
    model = served(lambda call: 0.5 if call <= 2 or 102 < call <= 104 else (call % 102) / 1e4)
    found = latency.time_calls(model, [b"image"])
    assert [row["batch"] for row in found["latency"]] == [1, 32]
    for row in found["latency"]:
        assert row["calls"] == 100
        assert row["p50"] == pytest.approx(5.1, abs=0.2)
        assert row["p95"] == pytest.approx(9.6, abs=0.2)
        assert row["p50"] < row["p95"] < row["p99"] < 100
    assert found["throughput"] == pytest.approx(32_000 / found["latency"][1]["p50"])


def test_a_slow_model_is_measured_by_few_calls(served):
    slow = served(2.0)
    found = latency.time_calls(slow, [b"image"])
    assert [(row["p50"], row["calls"]) for row in found["latency"]] == [(2000.0, 5), (2000.0, 5)]
    assert len(slow.calls) == 2 * (5 + 2)


def test_images_take_turns_and_fill_the_large_batch(served):
    model = served(1.0)
    images = [bytes([number]) for number in range(5)]
    latency.time_calls(model, images)
    assert model.calls[:6] == [[image] for image in (*images, images[0])]
    large = next(call for call in model.calls if len(call) > 1)
    assert large == (images * 7)[:32]


def test_the_size_is_that_of_all_files(tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"x" * 70)
    (tmp_path / "variables" / "variables.index").write_bytes(b"x" * 7)
    assert latency.size_bytes(tmp_path) == 77
