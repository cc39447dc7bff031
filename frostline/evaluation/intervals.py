"""Numbers with intervals: proportions, means and resampled values, and the exact tail of the binomial distribution.

An interval is {"value", "low", "high", "method"} with low <= value <= high. Everything here is a pure function: random
numbers come from a fixed seed.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from frostline.artifacts import Json
from frostline.errors import DataError

RESAMPLES = 10_000
_CELLS = 2_000_000  # random numbers drawn at a time: bounds the memory of a large confusion matrix


def z_value(confidence: float) -> float:
    """The two-sided standard normal quantile of a confidence level: 0.95 gives 1.96."""
    return NormalDist().inv_cdf((1.0 + confidence) / 2.0)


def wilson(successes: int, total: int, confidence: float) -> Json:
    """A proportion with Wilson's score interval, which stays inside [0, 1] and is honest at 0 and 1.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.

    Returns:
        {"value", "low", "high", "method": "wilson"}, each number in 0..1.

    Raises:
        DataError: no trials, or more successes than trials.
    """
    _require_proportion(successes, total)
    z, value = z_value(confidence), successes / total
    centre = (value + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(value * (1 - value) / total + z * z / (4 * total * total))
    return interval(value, max(0.0, centre - half), min(1.0, centre + half), "wilson")


def interval(value: float, low: float, high: float, method: str) -> Json:
    """The four keys of an interval, as plain floats; widened to the value where rounding or bias left it outside."""
    return {"value": float(value), "low": float(min(low, value)), "high": float(max(high, value)), "method": method}


def resample(counts: NDArray[np.int64], resamples: int, seed: int) -> list[NDArray[np.int64]]:
    """Counts of the cells in bootstrap resamples of the examples, in blocks of [some, cells] int64.

    Examples in one cell are exchangeable, so drawing `counts.sum()` examples with replacement and counting them is
    drawing from the multinomial distribution of the cells' shares, at a cost that does not grow with the examples.

    Args:
        counts: [cells] examples of each cell.
        resamples: how many in all.
        seed: same seed, same counts.
    """
    generator, total = np.random.default_rng(seed), int(counts.sum())
    block = max(1, _CELLS // len(counts))
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    return [generator.multinomial(total, counts / total, size) for size in sizes]


def binomial_tail(successes: int, total: int, share: float) -> float:
    """P(X >= successes) for X ~ Binomial(total, share), exact to 1e-8 of its value for a million trials.

    Of the two tails the smaller one is summed, from its largest term on, in logarithms, as far as 40 standard
    deviations: what lies beyond is too small for a float.

    Args:
        successes: 0..total.
        total: trials; none at all gives 1.
        share: probability of a success, 0..1.

    Raises:
        DataError: counts or a share that cannot be.
    """
    if not 0 <= successes <= total or not 0.0 <= share <= 1.0:
        raise DataError(f"received {successes} of {total} at a share of {share}; expected 0 <= successes <= total")
    if successes == 0 or share == 1.0:
        return 1.0
    if share == 0.0:
        return 0.0
    if successes <= total * share:
        return 1.0 - binomial_tail(total - successes + 1, total, 1.0 - share)
    log_odds = math.log(share) - math.log1p(-share)
    choose = math.lgamma(total + 1) - math.lgamma(successes + 1) - math.lgamma(total - successes + 1)
    log_first = choose + successes * log_odds + total * math.log1p(-share)
    last = min(total, successes + 40 + math.ceil(40 * math.sqrt(total * share * (1.0 - share))))
    k = np.arange(successes, last)
    steps = np.log(total - k) - np.log(k + 1.0) + log_odds  # log P(k + 1) - log P(k)
    return min(1.0, math.exp(log_first) * (1.0 + float(np.exp(np.cumsum(steps)).sum())))


def _require_proportion(successes: int, total: int) -> None:
    if total < 1 or not 0 <= successes <= total:
        raise DataError(f"received {successes} right of {total} examples; a proportion needs 0 <= right <= total >= 1")
