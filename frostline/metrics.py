"""Classification metrics from labels and probabilities, with NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from frostline.artifacts import Json
from frostline.errors import DataError

Labels = NDArray[np.integer]
EPSILON = float(np.finfo(np.float32).eps)  # 1.19e-7: what float32 probabilities near 1 are spaced by


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
    if total < 1 or not 0 <= successes <= total:
        raise DataError(f"received {successes} right of {total} examples; a proportion needs 0 <= right <= total >= 1")
    z, value = z_value(confidence), successes / total
    centre = (value + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(value * (1 - value) / total + z * z / (4 * total * total))
    low, high = min(max(0.0, centre - half), value), max(min(1.0, centre + half), value)
    return {"value": value, "low": low, "high": high, "method": "wilson"}


def accuracy(labels: Labels, predicted: Labels, confidence: float) -> Json:
    """Share of right predictions with its Wilson interval.

    Args:
        labels: [examples] true class indexes.
        predicted: [examples] predicted class indexes.
        confidence: level of the interval, 0..1.

    Raises:
        DataError: no examples, or arrays of different lengths.
    """
    require_same_examples(labels, predicted)
    return wilson(int(np.count_nonzero(labels == predicted)), len(labels), confidence)


def log_loss(labels: Labels, probabilities: NDArray[np.floating]) -> float:
    """Mean negative log-probability of the true class, in nats.

    Probabilities are clipped to [EPSILON, 1 - EPSILON], so one confident mistake costs at most 15.9.

    Args:
        labels: [examples] true class indexes.
        probabilities: [examples, classes], each row sums to 1.

    Raises:
        DataError: no examples, shapes that do not fit, a label out of range, or a probability that is no number
            in 0..1.
    """
    if probabilities.ndim != 2:
        raise DataError(f"received probabilities of shape {probabilities.shape}; expected [examples, classes]")
    require_same_examples(labels, probabilities[:, 0])
    _require_range(labels, probabilities.shape[1], "labels")
    chosen = probabilities.astype(np.float64)[np.arange(len(labels)), labels]
    if not bool(np.all((chosen >= 0.0) & (chosen <= 1.0 + 1e-5))):  # NaN compares false
        raise DataError("received a probability that is not a number in 0..1")
    return float(-np.log(np.clip(chosen, EPSILON, 1.0 - EPSILON)).mean())


def confusion_matrix(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """Counts by true class (rows) and predicted class (columns), [classes, classes] int64.

    Raises:
        DataError: no examples, arrays of different lengths, or an index outside 0..classes-1.
    """
    require_same_examples(labels, predicted)
    _require_range(labels, classes, "labels")
    _require_range(predicted, classes, "predictions")
    cells = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def per_class(confusion: NDArray[np.int64], names: Sequence[str]) -> list[Json]:
    """Examples, precision and recall of each class.

    A class that was never predicted has precision 0, one without examples recall 0 (scikit-learn's
    `zero_division=0`); `examples` tells the latter apart.

    Args:
        confusion: [classes, classes], rows are true classes.
        names: the classes' labels, in index order.
    """
    right, examples, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return [
        {
            "label": name,
            "examples": int(examples[number]),
            "precision": float(right[number] / max(predicted[number], 1)),
            "recall": float(right[number] / max(examples[number], 1)),
        }
        for number, name in enumerate(names)
    ]


def require_same_examples(labels: Labels, other: NDArray[np.generic]) -> None:
    """Raise DataError unless both arrays are [examples] with the same, positive number of examples."""
    if labels.ndim != 1 or labels.shape != other.shape or not len(labels):
        raise DataError(
            f"received shapes {labels.shape} and {other.shape}; expected one value for each example in both"
        )


def _require_range(indexes: Labels, classes: int, what: str) -> None:
    lowest, highest = int(np.min(indexes)), int(np.max(indexes))
    if lowest < 0 or highest >= classes:
        raise DataError(f"{what}: received an index in {lowest}..{highest}; expected 0..{classes - 1}")
