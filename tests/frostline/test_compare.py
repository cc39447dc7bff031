"""The paired comparison: counts, published intervals, degenerate tables, and its error rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.compare import compare, paired_difference
from frostline.errors import DataError
from frostline.metrics import wilson

COUNTS = st.tuples(*[st.integers(0, 500)] * 4).filter(any)


def test_counts_follow_the_examples():
    labels = np.array([0, 1, 2, 0, 1, 2, 0])
    challenger = np.array([0, 1, 2, 0, 2, 2, 1])
    champion = np.array([0, 1, 0, 1, 1, 0, 1])
    found = compare(labels, challenger, champion, 0.95)
    assert found["examples"] == 7
    assert (found["both_right"], found["both_wrong"]) == (2, 1)
    assert (found["only_challenger_right"], found["only_champion_right"]) == (3, 1)
    assert found["accuracy"] == wilson(3, 7, 0.95)
    assert found["difference"]["value"] == pytest.approx(2 / 7)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404),  # Newcombe 1998, table I
        ((1, 1, 7, 12), -0.507, -0.026),  # Bentur et al. 2009, in Fagerland, Lydersen, Laake 2014
    ],
)
def test_published_intervals(counts, low, high):
    found = paired_difference(*counts, 0.95)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=5e-4)


@given(COUNTS, st.floats(0.51, 0.999))
def test_the_interval_contains_the_value_and_stays_in_range(counts, confidence):
    found = paired_difference(*counts, confidence)
    assert -1.0 <= found["low"] <= found["value"] <= found["high"] <= 1.0


@given(COUNTS)
def test_exchanging_the_models_mirrors_the_interval(counts):
    both, first, second, neither = counts
    there, back = paired_difference(*counts, 0.95), paired_difference(both, second, first, neither, 0.95)
    assert (-back["high"], -back["value"], -back["low"]) == pytest.approx(
        (there["low"], there["value"], there["high"]), abs=1e-12
    )


@pytest.mark.parametrize("wrong", [0, 5])
def test_models_that_never_disagree_keep_a_width_that_shrinks(wrong):
    """Wald's interval has width 0 here: a promotion on ten examples would look certain."""
    widths = []
    for size in (10, 100, 1000, 10_000):
        found = paired_difference(size - wrong, 0, 0, wrong, 0.95)
        assert found["low"] < found["value"] == 0.0 < found["high"]
        widths.append(found["high"] - found["low"])
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 0.1 > 0.01 > widths[-1]


@pytest.mark.parametrize(
    ("cells", "size"),
    [((0.90, 0.02, 0.04, 0.04), 300), ((0.60, 0.15, 0.15, 0.10), 100), ((0.955, 0.005, 0.025, 0.015), 500)],
)
def test_error_rate(cells, size):
    """Of 2,000 evaluations, about one in twenty misses the true difference, and one in forty on the unsafe side.

    The unsafe side is the gate's: a challenger worse by exactly the margin whose lower limit clears it.
    """
    truth = cells[1] - cells[2]
    tables = np.random.default_rng(11).multinomial(size, cells, 2000)
    intervals = [paired_difference(*(int(cell) for cell in table), 0.95) for table in tables]
    covered = np.mean([found["low"] <= truth <= found["high"] for found in intervals])
    unsafe = np.mean([found["low"] > truth for found in intervals])
    assert 0.935 < covered < 0.985
    assert unsafe < 0.035


def test_refusals():
    with pytest.raises(DataError, match="received counts"):
        paired_difference(3, -1, 0, 0, 0.95)
    with pytest.raises(DataError):
        paired_difference(0, 0, 0, 0, 0.95)
    labels = np.array([0, 1])
    with pytest.raises(DataError, match="received shapes"):
        compare(labels, labels, labels[:1], 0.95)
