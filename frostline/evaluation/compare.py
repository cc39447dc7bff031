"""A paired comparison of two accuracies: challenger and champion on the same examples.

Reports show two-sided intervals (Newcombe's, and a bootstrap). The gate decides by one-sided statements: `bounds` and
the exact McNemar test. `benchmarks/gate.py` computes their error rates.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from frostline.documents.evaluation import Interval, Paired
from frostline.errors import DataError
from frostline.evaluation.confusion import Labels, require_same_examples
from frostline.evaluation.intervals import RESAMPLES, binomial_tail, interval, resample, wilson
from frostline.evaluation.metrics import accuracy

METHOD = "newcombe_paired_10"
POWER = 0.8
_SEED = 4


def compare(labels: Labels, challenger: Labels, champion: Labels, confidence: float) -> Paired:
    """Compare two models' predictions for the same examples.

    Args:
        labels: [examples] true class indexes.
        challenger: [examples] class indexes that the new model predicts.
        champion: [examples] class indexes that the champion predicts.
        confidence: level of the intervals, 0..1.

    Returns:
        examples; both_right, only_challenger_right, only_champion_right, both_wrong (they sum to examples); accuracy
        (the champion's) and challenger_accuracy with Wilson intervals; difference (challenger minus champion, -1..1)
        with Newcombe's interval; one_sided, its two `bounds`; bootstrap, the percentiles of 10,000 paired resamples;
        p_better and p_worse, exact one-sided McNemar p-values of "is no better" and "is no worse"; p_value, the
        two-sided one.

    Raises:
        DataError: no examples, or arrays of different lengths.
    """
    require_same_examples(labels, challenger)
    require_same_examples(labels, champion)
    new, old = challenger == labels, champion == labels
    both, only_new = int(np.count_nonzero(new & old)), int(np.count_nonzero(new & ~old))
    only_old, neither = int(np.count_nonzero(~new & old)), int(np.count_nonzero(~new & ~old))
    low, high = bounds(only_new, only_old, len(labels), confidence)
    better, worse = mcnemar(only_new, only_old), mcnemar(only_old, only_new)
    return {
        "examples": len(labels),
        "both_right": both,
        "only_challenger_right": only_new,
        "only_champion_right": only_old,
        "both_wrong": neither,
        "accuracy": accuracy(labels, champion, confidence),
        "challenger_accuracy": accuracy(labels, challenger, confidence),
        "difference": paired_difference(both, only_new, only_old, neither, confidence),
        "one_sided": {"low": low, "high": high},
        "bootstrap": _bootstrap(both, only_new, only_old, neither, confidence),
        "p_better": better,
        "p_worse": worse,
        "p_value": min(1.0, 2.0 * min(better, worse)),
    }


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact one-sided p-value of "the first is correct no more often than the second", on the same examples.

    If both are equally good, each example on which they disagree is a toss of a fair coin. Source: Q. McNemar, "Note on
    the sampling error of the difference between correlated proportions", Psychometrika 12, 1947; the exact form is the
    binomial test of the discordant pairs.

    Raises:
        DataError: a negative count.
    """
    return binomial_tail(only_first, only_first + only_second, 0.5)


def bounds(only_first: int, only_second: int, examples: int, confidence: float) -> tuple[float, float]:
    """The lower and the upper one-sided bound of the difference first minus second, each at `confidence`.

    Tango's score bounds, with a continuity correction of half an example against each statement. With it, the error
    rate was at most 1 - confidence for every size and rate of disagreement tried (Newcombe's bound errs in up to 6.6 %
    of cases instead of 5 %). Source: T. Tango, "Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design", Statistics in Medicine 17, 1998, 891-908.

    Args:
        only_first: examples on which only the first is correct.
        only_second: examples on which only the second is correct.
        examples: all examples.
        confidence: level of each bound, 0.5..1.

    Raises:
        DataError: no examples, or impossible counts.
    """
    if examples < 1 or min(only_first, only_second) < 0 or only_first + only_second > examples:
        raise DataError(
            f"received counts {only_first} and {only_second} of {examples} examples; expected at least 1 example and "
            "counts that sum to at most that"
        )
    z = NormalDist().inv_cdf(confidence)
    low = _score_low(max(only_first - 0.5, 0.0), only_second + 0.5, examples, z)
    return low, -_score_low(max(only_second - 0.5, 0.0), only_first + 0.5, examples, z)


def _score_low(first: float, second: float, examples: int, z: float) -> float:
    """The smallest difference that a score test at z does not reject, by bisection."""
    low, high = -1.0, max(-1.0, (first - second) / examples)
    for _ in range(60):
        middle = (low + high) / 2
        error = math.sqrt(_variance(first / examples, second / examples, middle) / examples)
        if (first - second) / examples - middle > z * error:
            low = middle
        else:
            high = middle
    return high


def worse_than(only_first: int, only_second: int, examples: int, margin: float) -> float:
    """One-sided p-value of "the first loses at most `margin` (0..1) against the second", by the same test as `bounds`.

    It is at most 1 - confidence exactly where the upper one-sided bound at `confidence` is below -margin.
    """
    first, second = (only_first + 0.5) / examples, max(only_second - 0.5, 0.0) / examples
    distance, variance = second - first - margin, _variance(second, first, margin)
    if variance == 0.0:
        return 0.0 if distance > 0.0 else 1.0
    return NormalDist().cdf(-distance / math.sqrt(variance / examples))


def smallest_loss(examples: int, margin: float, level: float) -> float | None:
    """The smallest loss (0..1) that `worse_than` shows at `level` if the first gains no example; None if none."""
    if worse_than(0, examples, examples, margin) > level:
        return None
    low, high = 0, examples
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if worse_than(0, middle, examples, margin) <= level else (middle, high)
    return high / examples


def _variance(first: float, second: float, difference: float) -> float:
    """Variance of one example's contribution at a given true difference, by Tango's maximum likelihood estimate."""
    b = (2 - first + second) * difference - first - second
    root = math.sqrt(max(0.0, b * b + 8 * second * difference * (1 - difference)))
    return max(0.0, (root - b) / 2 + difference * (1 - difference))


def examples_needed(
    only_first: int, only_second: int, examples: int, confidence: float, margin: float | None
) -> int | None:
    """About how many examples are needed to show "better" or "not worse by margin" at 80 % power and these rates.

    Source: R. J. Connor, "Sample size for testing differences in proportions for the paired-sample design",
    Biometrics 43, 1987, 207-211; with a margin, J.-M. Nam, "Establishing equivalence of two treatments and sample size
    requirements in matched-pairs design", Biometrics 53, 1997, 1422-1430. To both, the reciprocal of the distance to
    be shown is added: the cost of the continuity correction.

    Args:
        only_first, only_second, examples: as in `bounds`.
        confidence: level of the one-sided statement.
        margin: a loss of accuracy up to this counts as not worse; None asks for better.

    Returns:
        More than `examples`; None if no number is enough, because the observed difference is on the wrong side.
    """
    difference, limit = (only_first - only_second) / examples, -(margin or 0.0)
    distance = difference - limit
    if distance <= 0.0:
        return None
    variance_at_limit = _variance(only_first / examples, only_second / examples, limit)
    variance_observed = (only_first + only_second) / examples - difference**2
    normal = NormalDist()
    root = normal.inv_cdf(confidence) * math.sqrt(variance_at_limit)
    root += normal.inv_cdf(POWER) * math.sqrt(variance_observed)
    return max(examples + 1, math.ceil((root / distance) ** 2 + 1 / distance))


def paired_difference(both: int, only_first: int, only_second: int, neither: int, confidence: float) -> Interval:
    """Difference of two proportions measured on the same examples, first minus second, with an interval.

    Method 10 of R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions based
    on paired data", Statistics in Medicine 17, 1998, 2635-2650: the Wilson limits of both proportions, squared and
    added, with their correlation phi (corrected for continuity). It stays inside [-1, 1]. If the two never disagree, it
    keeps a width, which shrinks with the number of examples, while that of Wald's interval is 0.

    Args:
        both, only_first, only_second, neither: numbers of examples on which both, one or none of the two are correct.
        confidence: level of the interval, 0..1.

    Raises:
        DataError: no examples, or a negative count.
    """
    total = both + only_first + only_second + neither
    if min(both, only_first, only_second, neither) < 0:
        raise DataError(f"received counts {(both, only_first, only_second, neither)}; expected none below 0")
    first = wilson(both + only_first, total, confidence)
    second = wilson(both + only_second, total, confidence)
    phi = _phi(both, only_first, only_second, neither)
    value = (only_first - only_second) / total

    def width(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))

    low = value - width(first["value"] - first["low"], second["high"] - second["value"])
    high = value + width(first["high"] - first["value"], second["value"] - second["low"])
    return {"value": value, "low": max(-1.0, low), "high": min(1.0, high), "method": METHOD}


def _phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Correlation of the two outcomes; method 10 reduces a positive one by half an example."""
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if margins == 0:  # one of the two is always correct or always wrong
        return 0.0
    excess = float(both * neither - only_first * only_second)
    if excess > 0:
        excess = max(0.0, excess - (both + only_first + only_second + neither) / 2)
    return excess / math.sqrt(margins)


def _bootstrap(both: int, only_first: int, only_second: int, neither: int, confidence: float) -> Interval:
    """The difference with the percentiles of paired resamples of the examples, drawn as counts of the four outcomes."""
    counts = np.array([both, only_first, only_second, neither], np.int64)
    (drawn,) = resample(counts, RESAMPLES, _SEED)
    low, high = np.quantile((drawn[:, 1] - drawn[:, 2]) / counts.sum(), [(1 - confidence) / 2, (1 + confidence) / 2])
    return interval((only_first - only_second) / counts.sum(), low, high, "bootstrap")
