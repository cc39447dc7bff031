"""The calibration error against a loop over the bins, and its interval against the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline.evaluation import calibration


def by_loop(correct, confidences):
    """(error, bins) as Guo et al. 2017 write it."""
    error, bins = 0.0, []
    for number in range(15):
        low, high = np.linspace(0, 1, 16)[number : number + 2]
        inside = [place for place, one in enumerate(confidences) if low < one <= high]
        if inside:
            accuracy, confidence = np.mean(correct[inside]), np.mean(confidences[inside])
            error += len(inside) / len(correct) * abs(accuracy - confidence)
            bins.append((low, high, len(inside), confidence, accuracy))
    return error, bins


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0.001, 1.0)), min_size=1, max_size=80))
def test_error_and_bins_equal_a_loop(examples):
    correct, confidences = np.array([one for one, _ in examples]), np.array([one for _, one in examples])
    found = calibration.reliability(correct, confidences, 0.95)
    error, bins = by_loop(correct, confidences)
    assert found["calibration_error"]["value"] == pytest.approx(error, abs=1e-9)
    rows = [tuple(row.values()) for row in found["reliability"]]
    assert [list(row) for row in found["reliability"]] == [["low", "high", "examples", "confidence", "accuracy"]] * len(
        rows
    )
    np.testing.assert_allclose(np.array(rows), np.array(bins), atol=1e-9)
    interval = found["calibration_error"]
    assert 0.0 <= interval["low"] <= interval["value"] <= interval["high"] <= 1.0


def test_a_confidence_on_an_edge_belongs_to_the_bin_below_and_one_to_the_last():
    found = calibration.reliability(np.array([True, False]), np.array([1 / 3, 1.0], np.float64), 0.95)
    assert [(round(15 * row["low"]), round(15 * row["high"])) for row in found["reliability"]] == [(4, 5), (14, 15)]


def simulated(random, examples, gap):
    confidences = 0.4 + 0.6 * random.beta(5, 2, examples)
    return random.random(examples) < np.clip(confidences - gap, 0, 1), confidences


def test_the_interval_holds_an_overconfident_models_true_error_and_a_fair_ones_upper_end():
    random = np.random.default_rng(6)
    over = [calibration.reliability(*simulated(random, 1000, 0.1), 0.95)["calibration_error"] for _ in range(60)]
    assert sum(one["low"] <= 0.1 <= one["high"] for one in over) >= 53
    fair = [calibration.reliability(*simulated(random, 1000, 0.0), 0.95)["calibration_error"] for _ in range(60)]
    assert max(one["high"] for one in fair) < 0.08
    assert np.mean([one["low"] for one in fair]) < 0.005  # the plain percentiles would begin at about 0.025


def test_the_bound_that_decides_seldom_lies_below_the_true_error():
    """The interval's upper end does in about 9 of 100."""
    random = np.random.default_rng(3)
    found = []
    for _ in range(100):
        confidences = np.clip(random.beta(30, 2, 1000), 0.03, 1)
        correct = random.random(1000) < confidences - 0.02
        found.append(calibration.reliability(correct, confidences, 0.95)["calibration_error"])
    assert sum(one["at_most"] < 0.02 for one in found) <= 5
    assert all(one["value"] <= one["at_most"] for one in found)


def test_the_interval_narrows_with_more_examples():
    random = np.random.default_rng(9)
    widths = []
    for size in (200, 2000, 20_000):
        found = calibration.reliability(*simulated(random, size, 0.1), 0.95)["calibration_error"]
        widths.append(found["high"] - found["low"])
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 4 * widths[-1]
