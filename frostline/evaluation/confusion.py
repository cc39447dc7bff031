"""The confusion matrix and the metrics per class that follow from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frostline.documents.evaluation import ClassRow, Interval
from frostline.errors import DataError
from frostline.evaluation.intervals import interval, resample, wilson

Labels = NDArray[np.integer]
_RESAMPLES = 1_000  # fewer than elsewhere: one resample of a large matrix is thousands of numbers
_SEED = 1


def matrix(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """Counts by true class (rows) and predicted class (columns), [classes, classes] int64.

    Raises:
        DataError: no examples, arrays of different lengths, or an index outside 0..classes-1.
    """
    require_same_examples(labels, predicted)
    require_range(labels, classes, "labels")
    require_range(predicted, classes, "predictions")
    cells = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def macro_f1(confusion: NDArray[np.int64], confidence: float) -> Interval:
    """Mean F1 over all classes; a class without examples and predictions counts 0 (scikit-learn's zero_division=0).

    The interval is the percentile bootstrap over examples, 1,000 resamples, drawn as counts of the matrix's cells.

    Args:
        confusion: [classes, classes], rows are true classes.
        confidence: level of the interval, 0..1.
    """
    rows, columns = np.nonzero(confusion)
    by_column = np.argsort(columns, kind="stable")
    true_classes, first_of_row = np.unique(rows, return_index=True)
    predicted_classes, first_of_column = np.unique(columns[by_column], return_index=True)
    diagonal = np.flatnonzero(rows == columns)
    means = []
    for drawn in resample(confusion[rows, columns], _RESAMPLES, _SEED):
        sizes = np.zeros((len(drawn), len(confusion)), np.int64)  # per class: examples plus predictions
        sizes[:, true_classes] += np.add.reduceat(drawn, first_of_row, axis=1)
        sizes[:, predicted_classes] += np.add.reduceat(drawn[:, by_column], first_of_column, axis=1)
        means.append((2 * drawn[:, diagonal] / np.maximum(sizes[:, rows[diagonal]], 1)).sum(axis=1) / len(confusion))
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return interval(float(_f1(confusion).mean()), low, high, "bootstrap")


def _f1(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """2 tp / (examples + predicted) per class; 0 if both are 0."""
    found: NDArray[np.float64] = 2 * np.diag(confusion) / np.maximum(confusion.sum(axis=0) + confusion.sum(axis=1), 1)
    return found


def per_class(confusion: NDArray[np.int64], names: Sequence[str], confidence: float) -> list[ClassRow]:
    """Examples, predictions, precision, recall and F1 of each class; precision and recall have Wilson intervals.

    Args:
        confusion: [classes, classes], rows are true classes.
        names: the classes' labels, in index order.
        confidence: level of the intervals, 0..1.

    Returns:
        Per class {label, examples, predicted, precision (None: never predicted), recall (None: no examples), f1}.
    """
    correct, examples, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    scores = _f1(confusion)

    def rate(number: int, of: NDArray[np.int64]) -> Interval | None:
        return wilson(int(correct[number]), int(of[number]), confidence) if of[number] else None

    return [
        {
            "label": name,
            "examples": int(examples[number]),
            "predicted": int(predicted[number]),
            "precision": rate(number, predicted),
            "recall": rate(number, examples),
            "f1": float(scores[number]),
        }
        for number, name in enumerate(names)
    ]


def require_same_examples(labels: Labels, other: NDArray[np.generic]) -> None:
    """Raise DataError unless both arrays are [examples] with the same, positive number of examples."""
    if labels.ndim != 1 or labels.shape != other.shape or not len(labels):
        raise DataError(f"received shapes {labels.shape} and {other.shape}; expected one value per example in both")


def require_range(indexes: Labels, classes: int, what: str) -> None:
    """Raise DataError unless every index is in 0..classes-1; `what` names them in the message."""
    lowest, highest = int(np.min(indexes)), int(np.max(indexes))
    if lowest < 0 or highest >= classes:
        raise DataError(f"{what}: received an index in {lowest}..{highest}; expected 0..{classes - 1}")
