"""Challenger against champion on the same examples: a paired comparison of two accuracies."""

from __future__ import annotations

import math

import numpy as np

from frostline.artifacts import Json
from frostline.errors import DataError
from frostline.metrics import Labels, accuracy, require_same_examples, wilson

METHOD = "newcombe_paired_10"


def compare(labels: Labels, challenger: Labels, champion: Labels, confidence: float) -> Json:
    """Compare two models' predictions for the same examples.

    Args:
        labels: [examples] true class indexes.
        challenger: [examples] class indexes that the new model predicts.
        champion: [examples] class indexes that the serving model predicts.
        confidence: level of the intervals, 0..1.

    Returns:
        examples, both_right, only_challenger_right, only_champion_right, both_wrong (they sum to examples),
        accuracy (the champion's, with its Wilson interval) and difference (challenger minus champion, -1..1).

    Raises:
        DataError: no examples, or arrays of different lengths.
    """
    require_same_examples(labels, challenger)
    require_same_examples(labels, champion)
    new, old = challenger == labels, champion == labels
    both, only_new = int(np.count_nonzero(new & old)), int(np.count_nonzero(new & ~old))
    only_old, neither = int(np.count_nonzero(~new & old)), int(np.count_nonzero(~new & ~old))
    return {
        "examples": len(labels),
        "accuracy": accuracy(labels, champion, confidence),
        "both_right": both,
        "only_challenger_right": only_new,
        "only_champion_right": only_old,
        "both_wrong": neither,
        "difference": paired_difference(both, only_new, only_old, neither, confidence),
    }


def paired_difference(both: int, only_first: int, only_second: int, neither: int, confidence: float) -> Json:
    """Difference of two proportions measured on the same examples, first minus second, with an interval.

    Method 10 of R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions based
    on paired data", Statistics in Medicine 17, 1998, 2635-2650: the Wilson limits of both proportions, squared and
    added, with their correlation phi (corrected for continuity). It stays inside [-1, 1], and where the two never
    disagree it keeps a width that shrinks with the number of examples, where Wald's has none.

    Args:
        both: examples that both got right.
        only_first: examples that only the first got right.
        only_second: examples that only the second got right.
        neither: examples that both got wrong.
        confidence: level of the interval, 0..1.

    Raises:
        DataError: no examples, or a negative count.
    """
    total = both + only_first + only_second + neither
    if min(both, only_first, only_second, neither) < 0:
        raise DataError(f"received counts {(both, only_first, only_second, neither)}; none can be negative")
    first = wilson(both + only_first, total, confidence)
    second = wilson(both + only_second, total, confidence)
    phi = _phi(both, only_first, only_second, neither)
    value = (only_first - only_second) / total
    low = value - _combined(first["value"] - first["low"], second["high"] - second["value"], phi)
    high = value + _combined(first["high"] - first["value"], second["value"] - second["low"], phi)
    return {"value": value, "low": max(-1.0, low), "high": min(1.0, high), "method": METHOD}


def _phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Correlation of the two outcomes; a positive one is corrected by half an example, as method 10 says."""
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if margins == 0:  # one of the two is always right or always wrong
        return 0.0
    excess = float(both * neither - only_first * only_second)
    if excess > 0:
        excess = max(0.0, excess - (both + only_first + only_second + neither) / 2)
    return excess / math.sqrt(margins)


def _combined(first: float, second: float, phi: float) -> float:
    return math.sqrt(max(0.0, first * first - 2 * phi * first * second + second * second))
