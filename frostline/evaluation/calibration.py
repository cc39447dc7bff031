"""Calibration: whether a model that says 0.8 is correct 8 times out of 10."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frostline.documents.evaluation import Calibration
from frostline.evaluation.intervals import RESAMPLES, interval, resample

BINS = 15
_SEED = 15


def reliability(correct: NDArray[np.bool_], confidences: NDArray[np.floating], confidence: float) -> Calibration:
    """The expected calibration error of the top prediction, and its bins.

    The error is the mean, over examples, of the distance between a bin's accuracy and its mean confidence, for 15 bins
    of equal width, open below: (0, 1/15], .., (14/15, 1]. Source: Guo, Pleiss, Sun, Weinberger, "On calibration of
    modern neural networks", ICML 2017.

    The interval is the basic bootstrap: the percentile interval, mirrored at the value. Noise in a bin's accuracy can
    only increase an absolute distance, so resamples lie above the value just as the value lies above the truth;
    mirroring corrects this. The interval is for reading: it corrects too much if bins are noisy, and its lower end can
    still lie above a truth near 0. The gate decides by `at_most`, the plain one-sided percentile, which noise can only
    raise. The resampled units are cells (bin, correct or wrong), and each example has the mean confidence of its cell;
    the spread of confidences within a cell, at most 1/15 wide, is ignored.

    Args:
        correct: [examples] whether the top prediction is correct.
        confidences: [examples] probability of the top prediction, 0..1.
        confidence: level of the interval, 0..1.

    Returns:
        calibration_error: interval in 0..1, and at_most, an upper bound at `confidence`; reliability: [{low, high,
        examples, confidence, accuracy}] of the bins with examples.
    """
    edges = np.linspace(0.0, 1.0, BINS + 1)
    bins = np.searchsorted(edges[1:-1], confidences, side="left")
    cells = 2 * bins + correct
    counts = np.bincount(cells, minlength=2 * BINS)
    sums = np.bincount(cells, weights=confidences, minlength=2 * BINS)
    of_bin, correct_of_bin, sum_of_bin = counts.reshape(BINS, 2).sum(1), counts[1::2], sums.reshape(BINS, 2).sum(1)
    value = float(np.abs(correct_of_bin - sum_of_bin).sum() / len(correct))
    used = np.flatnonzero(counts)
    gaps = used % 2 - sums[used] / counts[used]  # per example: 1 if correct, else 0, minus its confidence
    first_of_bin = np.unique(used // 2, return_index=True)[1]
    errors = [
        np.abs(np.add.reduceat(drawn * gaps, first_of_bin, axis=1)).sum(axis=1) / len(correct)
        for drawn in resample(counts[used], RESAMPLES, _SEED)
    ]
    low, high, most = np.quantile(np.concatenate(errors), [(1 - confidence) / 2, (1 + confidence) / 2, confidence])
    found = interval(value, max(0.0, 2 * value - high), min(1.0, 2 * value - low), "basic bootstrap")
    return {
        "calibration_error": {**found, "at_most": max(value, float(most))},
        "reliability": [
            {
                "low": float(edges[number]),
                "high": float(edges[number + 1]),
                "examples": int(of_bin[number]),
                "confidence": float(sum_of_bin[number] / of_bin[number]),
                "accuracy": float(correct_of_bin[number] / of_bin[number]),
            }
            for number in np.flatnonzero(of_bin)
        ],
    }
