"""Intervals and exact binomial tests against SciPy's statistics and integer arithmetic, and what they refuse."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from frostline.errors import DataError
from frostline.evaluation import intervals


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("correct", "total"), [(0, 1), (0, 50), (50, 50), (1, 3), (17, 40), (285, 300), (1, 100_000)])
def test_wilson_equals_scipy(correct, total, confidence):
    found = intervals.wilson(correct, total, confidence)
    expected = binomtest(correct, total).proportion_ci(confidence, method="wilson")
    assert found["value"] == correct / total
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high), abs=1e-9)


COUNTS = st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS, st.floats(0.51, 0.999))
def test_wilson_contains_the_value_and_stays_in_range(counts, confidence):
    found = intervals.wilson(*counts, confidence)
    assert 0.0 <= found["low"] <= found["value"] <= found["high"] <= 1.0
    assert found["low"] < found["high"]


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (3, 2), (-1, 5)])
def test_no_proportion_without_trials(correct, total):
    with pytest.raises(DataError, match=f"received {correct} correct of {total}"):
        intervals.wilson(correct, total, 0.95)


@given(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), st.floats(0.0, 1.0))
def test_the_binomial_tail_equals_scipy(counts, probability):
    successes, total = min(counts), max(counts)
    expected = binom.sf(successes - 1, total, probability) if total else 1.0
    assert intervals.binomial_tail(successes, total, probability) == pytest.approx(expected, rel=1e-8, abs=1e-13)


@pytest.mark.parametrize("successes", [499_000, 500_000, 500_001, 500_800, 502_000, 510_000, 10**6])
def test_the_tail_is_exact_for_a_million_discordant_pairs(successes):
    expected = binomtest(successes, 10**6, alternative="greater").pvalue
    assert intervals.binomial_tail(successes, 10**6, 0.5) == pytest.approx(expected, rel=1e-8, abs=1e-300)


@pytest.mark.parametrize(("successes", "total"), [(1, 1), (7, 20), (300, 500), (1000, 2000), (1100, 2000), (900, 900)])
@pytest.mark.parametrize("probability", [Fraction(1, 2), Fraction(4, 5), Fraction(1, 64)])
def test_the_tail_is_the_sum_of_its_terms(successes, total, probability):
    terms = (comb(total, k) * probability**k * (1 - probability) ** (total - k) for k in range(successes, total + 1))
    found = intervals.binomial_tail(successes, total, float(probability))
    assert found == pytest.approx(float(sum(terms)), rel=1e-10, abs=1e-300)


@given(st.integers(1, 10**9).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))), st.floats(0.0, 1.0))
def test_the_two_tails_are_one_together(counts, probability):
    successes, total = counts
    above = intervals.binomial_tail(successes, total, probability)
    below = intervals.binomial_tail(total - successes + 1, total, 1.0 - probability)
    assert above + below == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("received", [(-1, 5, 0.5), (6, 5, 0.5), (1, 5, 1.5), (1, 5, float("nan"))])
def test_counts_that_cannot_be_have_no_tail(received):
    with pytest.raises(DataError, match=r"expected 0 <= successes <= total and a probability in 0\.\.1"):
        intervals.binomial_tail(*received)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(
    ("correct", "total"), [(0, 1), (0, 50), (50, 50), (1, 3), (17, 40), (950, 1000), (499_000, 10**6)]
)
def test_exact_bounds_equal_scipy(correct, total, confidence):
    found = intervals.exact_bounds(correct, total, confidence)
    above, below = (
        binomtest(correct, total, alternative=side).proportion_ci(confidence, method="exact")
        for side in ("greater", "less")
    )
    assert found == pytest.approx((above.low, below.high), abs=1e-9)


@given(COUNTS, st.floats(0.51, 0.999))
def test_at_an_exact_bound_the_tail_has_the_error_that_is_left(counts, confidence):
    correct, total = counts
    low, high = intervals.exact_bounds(correct, total, confidence)
    assert 0.0 <= low <= correct / total <= high <= 1.0
    if correct:
        assert intervals.binomial_tail(correct, total, low) == pytest.approx(1 - confidence, rel=1e-6)
    if correct < total:
        assert intervals.binomial_tail(total - correct, total, 1 - high) == pytest.approx(1 - confidence, rel=1e-6)


def test_without_trials_there_are_no_exact_bounds():
    with pytest.raises(DataError, match="received 0 correct of 0 examples; expected at least 1 example"):
        intervals.exact_bounds(0, 0, 0.95)


def test_resampled_counts_are_those_of_resampled_examples():
    """Means and covariances of the cells' counts equal those of drawing the examples one by one."""
    counts = np.array([60, 5, 0, 35])
    drawn = np.concatenate(intervals.resample(counts, 20_000, 3))
    one_by_one = np.random.default_rng(4).choice(4, (20_000, 100), p=counts / 100)
    reference = np.stack([(one_by_one == cell).sum(axis=1) for cell in range(4)], axis=1)
    assert (drawn.sum(axis=1) == 100).all()
    np.testing.assert_allclose(drawn.mean(axis=0), reference.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(reference.T), atol=0.8)


def test_a_large_table_is_resampled_in_blocks_and_the_same_each_time():
    counts = np.full(150_000, 2)
    blocks = intervals.resample(counts, 30, 1)
    assert [len(block) for block in blocks] == [13, 13, 4]
    again = intervals.resample(counts, 30, 1)
    assert all((one == other).all() for one, other in zip(blocks, again, strict=True))
