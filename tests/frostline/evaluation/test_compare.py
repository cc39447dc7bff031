"""The paired comparison: counts, published intervals, degenerate tables, and the error rates of what decides."""

import json
import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest, bootstrap

from frostline.errors import DataError
from frostline.evaluation.compare import bounds, compare, examples_needed, mcnemar, paired_difference
from frostline.evaluation.intervals import wilson

from tests.support import rates

COUNTS = st.tuples(*[st.integers(0, 500)] * 4).filter(any)


def predictions(both, only_challenger, only_champion, neither):
    """labels, challenger, champion with these counts."""
    labels = np.zeros(both + only_challenger + only_champion + neither, np.int64)
    wrong = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [both, only_challenger, only_champion, neither], axis=0)
    return labels, wrong[:, 0], wrong[:, 1]


def test_counts_follow_the_examples():
    labels = np.array([0, 1, 2, 0, 1, 2, 0])
    challenger = np.array([0, 1, 2, 0, 2, 2, 1])
    champion = np.array([0, 1, 0, 1, 1, 0, 1])
    found = compare(labels, challenger, champion, 0.95)
    assert found["examples"] == 7
    assert (found["both_right"], found["both_wrong"]) == (2, 1)
    assert (found["only_challenger_right"], found["only_champion_right"]) == (3, 1)
    assert found["accuracy"] == wilson(3, 7, 0.95)
    assert found["challenger_accuracy"] == wilson(5, 7, 0.95)
    assert found["difference"] == paired_difference(2, 3, 1, 1, 0.95)
    json.dumps(found, allow_nan=False)


@settings(max_examples=60)
@given(st.integers(0, 400), st.integers(0, 400))
def test_p_values_are_the_exact_mcnemar_test(first, second):
    found = compare(*predictions(3, first, second, 4), 0.95)
    sides = {"p_better": "greater", "p_worse": "less", "p_value": "two-sided"}
    for name, side in sides.items():
        expected = binomtest(first, first + second, alternative=side).pvalue if first + second else 1.0
        assert found[name] == pytest.approx(expected, rel=1e-9, abs=1e-300), name


def test_the_bootstrap_is_that_of_resampled_examples():
    labels, challenger, champion = predictions(600, 120, 80, 200)
    found = compare(labels, challenger, champion, 0.9)["bootstrap"]
    drawn = bootstrap(
        ((challenger == labels).astype(float), (champion == labels).astype(float)),
        lambda one, other, axis=-1: one.mean(axis=axis) - other.mean(axis=axis),
        paired=True, method="percentile", confidence_level=0.9, rng=np.random.default_rng(1),
    )  # fmt: skip
    assert found["value"] == pytest.approx(0.04)
    assert found["low"] == pytest.approx(drawn.confidence_interval.low, abs=0.0015)
    assert found["high"] == pytest.approx(drawn.confidence_interval.high, abs=0.0015)
    assert compare(labels, challenger, champion, 0.9)["bootstrap"] == found


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
        low, high = bounds(0, 0, size, 0.95)
        assert low < 0.0 < high == -low
        widths.append(found["high"] - found["low"])
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 0.1 > 0.01 > widths[-1]


def score(first, second, examples, difference):
    """Tango's statistic, its nuisance parameter found by a search of the likelihood."""

    def unlikely(share):  # of the second alone
        cells = ((first, share + difference), (second, share), (examples - first - second, 1 - 2 * share - difference))
        return -sum(count * math.log(max(probability, 1e-300)) for count, probability in cells)

    lowest, highest = max(0.0, -difference), (1 - difference) / 2
    found = minimize_scalar(unlikely, bounds=(lowest, highest), method="bounded", options={"xatol": 1e-12})
    variance = examples * (2 * found.x + difference * (1 - difference))
    return (first - second - examples * difference) / math.sqrt(variance)


def test_the_reference_gives_tangos_published_interval():
    z = NormalDist().inv_cdf(0.975)
    low = brentq(lambda difference: score(1, 7, 21, difference) - z, -0.9, -6 / 21)
    high = brentq(lambda difference: score(1, 7, 21, difference) + z, -6 / 21, 0.5)
    assert (low, high) == pytest.approx((-0.517, -0.026), abs=5e-4)  # Fagerland, Lydersen, Laake 2014


@pytest.mark.parametrize("counts", [(1, 7, 21), (12, 2, 50), (40, 30, 200), (5, 5, 1000), (300, 260, 2000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_bounds_are_tangos_with_half_an_example_against_them(counts, confidence):
    first, second, examples = counts
    z, value = NormalDist().inv_cdf(confidence), (first - second) / examples
    low, high = bounds(*counts, confidence)
    assert score(first - 0.5, second + 0.5, examples, low) == pytest.approx(z, abs=1e-4)
    assert score(first + 0.5, second - 0.5, examples, high) == pytest.approx(-z, abs=1e-4)
    assert low < value < high


@given(COUNTS, st.floats(0.51, 0.9999))
def test_bounds_contain_the_value_stay_in_range_and_mirror(counts, confidence):
    both, first, second, neither = counts
    examples = both + first + second + neither
    low, high = bounds(first, second, examples, confidence)
    assert -1.0 <= low <= (first - second) / examples <= high <= 1.0
    assert bounds(second, first, examples, confidence) == (-high, -low)


SIZES = [50, 200, 500, 2000]
DISAGREEMENT = [0.04, 0.1, 0.2, 0.4]


@pytest.mark.parametrize("examples", SIZES)
@pytest.mark.parametrize("disagreement", DISAGREEMENT)
def test_an_equally_good_model_is_shown_to_be_better_in_at_most_one_case_of_twenty(examples, disagreement):
    rate = rates.probability(examples, disagreement / 2, disagreement / 2, lambda b, c: mcnemar(b, c) <= 0.05)
    assert rate <= 0.05


@pytest.mark.parametrize("margin", [0.02, 0.05])
@pytest.mark.parametrize("examples", SIZES)
@pytest.mark.parametrize("disagreement", DISAGREEMENT)
def test_a_model_worse_by_the_margin_passes_in_at_most_one_case_of_twenty(examples, disagreement, margin):
    disagreement = max(disagreement, margin)
    rate = rates.probability(
        examples,
        (disagreement - margin) / 2,
        (disagreement + margin) / 2,
        lambda b, c: bounds(b, c, examples, 0.95)[0] >= -margin,
    )
    assert rate <= 0.05


def test_a_model_worse_by_the_margin_is_not_called_worse_than_that_in_more_than_one_case_of_twenty():
    # the mirror of "high < -0.02"
    rate = rates.probability(500, 0.06, 0.04, lambda b, c: bounds(b, c, 500, 0.95)[0] >= 0.02)
    assert 0.02 < rate <= 0.05


def test_a_gain_of_three_points_on_two_thousand_examples_is_seen():
    assert rates.probability(2000, 0.115, 0.085, lambda b, c: mcnemar(b, c) <= 0.05) >= 0.9


@pytest.mark.parametrize(
    ("seen", "margin"),
    [((500, 500, 10_000), 0.02), ((200, 200, 10_000), 0.02), ((1000, 800, 10_000), None), ((500, 600, 10_000), 0.02)],
)
def test_the_number_of_examples_that_is_named_has_about_the_power_that_it_promises(seen, margin):
    first, second = seen[0] / seen[2], seen[1] / seen[2]
    needed = examples_needed(seen[0] // 100, seen[1] // 100, seen[2] // 100, 0.95, margin)
    rule = (
        (lambda b, c: mcnemar(b, c) <= 0.05)
        if margin is None
        else (lambda b, c: bounds(b, c, needed, 0.95)[0] >= -margin)
    )
    assert 0.75 < rates.probability(needed, first, second, rule) < 0.85


def test_no_number_of_examples_shows_what_is_not_there():
    assert examples_needed(10, 10, 100, 0.95, None) is None
    assert examples_needed(5, 10, 100, 0.95, None) is None
    assert examples_needed(5, 10, 100, 0.95, 0.05) is None
    assert examples_needed(0, 0, 100, 0.95, None) is None


def test_models_that_never_disagreed_need_what_the_bound_needs():
    needed = examples_needed(0, 0, 50, 0.95, 0.02)
    assert bounds(0, 0, needed, 0.95)[0] >= -0.02 > bounds(0, 0, needed // 2, 0.95)[0]
    assert examples_needed(900, 10, 1000, 0.95, 0.02) == 1001  # it is decided already


def test_refusals():
    with pytest.raises(DataError, match="received counts"):
        paired_difference(3, -1, 0, 0, 0.95)
    with pytest.raises(DataError):
        paired_difference(0, 0, 0, 0, 0.95)
    labels = np.array([0, 1])
    with pytest.raises(DataError, match="received shapes"):
        compare(labels, labels, labels[:1], 0.95)
    for counts in ((0, 0, 0), (-1, 0, 5), (3, 3, 5)):
        with pytest.raises(DataError, match="expected at least 1 example"):
            bounds(*counts, 0.95)
