"""Classification metrics from labels and probabilities, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frostline.documents.evaluation import Classification, Interval, TopK
from frostline.errors import DataError
from frostline.evaluation import calibration, confusion
from frostline.evaluation.confusion import Labels, require_range, require_same_examples
from frostline.evaluation.intervals import interval, wilson, z_value

EPSILON = float(np.finfo(np.float32).eps)  # 1.19e-7, the spacing of float32 just above 1


def classification(
    labels: Labels, probabilities: NDArray[np.floating], names: Sequence[str], confidence: float
) -> Classification:
    """All metrics of one model's predictions.

    Args:
        labels: [examples] true class indexes.
        probabilities: [examples, classes], each row sums to 1.
        names: [classes] the classes' labels, in index order.
        confidence: level of every interval, 0..1.

    Returns:
        examples; accuracy, top_k (with k), macro_f1, log_loss (nats), brier (0..2) and calibration_error as intervals;
        reliability; per_class; confusion as nested lists.

    Raises:
        DataError: no examples, shapes that do not fit, a label out of range, or a probability that is not a
            number in 0..1.
    """
    _require_probabilities(labels, probabilities)
    if probabilities.shape[1] != len(names):
        raise DataError(
            f"received {probabilities.shape[1]} probabilities per example; expected {len(names)}, one per class"
        )
    predicted = probabilities.argmax(axis=1)
    cells = confusion.matrix(labels, predicted, len(names))
    log_loss = mean(losses(labels, probabilities), confidence)
    brier = mean(_briers(labels, probabilities), confidence)
    return {
        "examples": len(labels),
        "accuracy": accuracy(labels, predicted, confidence),
        "top_k": top_k(labels, probabilities, confidence),
        "macro_f1": confusion.macro_f1(cells, confidence),
        "log_loss": {**log_loss, "low": max(0.0, log_loss["low"])},
        "brier": {**brier, "low": max(0.0, brier["low"]), "high": min(2.0, brier["high"])},
        **calibration.reliability(predicted == labels, probabilities.max(axis=1), confidence),
        "per_class": confusion.per_class(cells, names, confidence),
        "confusion": cells.tolist(),
    }


def mean(values: NDArray[np.floating], confidence: float) -> Interval:
    """A mean with its normal interval, value +- z s / sqrt(n); for a single value, the interval has no width.

    Args:
        values: [examples] finite numbers.
        confidence: level of the interval, 0..1.

    Raises:
        DataError: no values, or one that is not finite.
    """
    if values.ndim != 1 or not len(values) or not bool(np.isfinite(values).all()):
        raise DataError(f"received values of shape {values.shape}; expected at least one, all finite")
    value = float(values.mean(dtype=np.float64))
    deviation = float(values.std(dtype=np.float64, ddof=1)) if len(values) > 1 else 0.0
    half = z_value(confidence) * deviation / len(values) ** 0.5
    return interval(value, value - half, value + half, "normal")


def accuracy(labels: Labels, predicted: Labels, confidence: float) -> Interval:
    """Fraction of correct predictions with its Wilson interval.

    Args:
        labels: [examples] true class indexes.
        predicted: [examples] predicted class indexes.
        confidence: level of the interval, 0..1.

    Raises:
        DataError: no examples, or arrays of different lengths.
    """
    require_same_examples(labels, predicted)
    return wilson(int(np.count_nonzero(labels == predicted)), len(labels), confidence)


def top_k(labels: Labels, probabilities: NDArray[np.floating], confidence: float) -> TopK:
    """Fraction of examples whose true class is among the k most probable, with its Wilson interval.

    k is 5, or one less than the number of classes if that is smaller. Of equal probabilities the lower index comes
    first, as in argmax, so that k = 1 is the accuracy.

    Returns:
        {"k", "value", "low", "high", "method"}.
    """
    k = max(1, min(5, probabilities.shape[1] - 1))
    given = probabilities[np.arange(len(labels)), labels][:, np.newaxis]
    index = np.arange(probabilities.shape[1])
    before = (probabilities > given) | ((probabilities == given) & (index < labels[:, np.newaxis]))
    return {"k": k, **wilson(int(np.count_nonzero(before.sum(axis=1) < k)), len(labels), confidence)}


def losses(labels: Labels, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Negative log-probability of each example's true class, [examples] float64, in nats.

    Probabilities are clipped to [EPSILON, 1 - EPSILON], so one confident mistake adds at most 15.9.

    Raises:
        DataError: as in `classification`.
    """
    _require_probabilities(labels, probabilities)
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    found: NDArray[np.float64] = -np.log(np.clip(chosen, EPSILON, 1.0 - EPSILON))
    return found


def _briers(labels: Labels, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared distance of each row from its one-hot label, [examples] float64 in 0..2."""
    wide = probabilities.astype(np.float64)
    given = wide[np.arange(len(labels)), labels].copy()
    found: NDArray[np.float64] = np.einsum("ij,ij->i", wide, wide) - given**2 + (1.0 - given) ** 2
    return found


def _require_probabilities(labels: Labels, probabilities: NDArray[np.floating]) -> None:
    if probabilities.ndim != 2:
        raise DataError(f"received probabilities of shape {probabilities.shape}; expected [examples, classes]")
    require_same_examples(labels, probabilities[:, 0])
    require_range(labels, probabilities.shape[1], "labels")
    if not bool(probabilities.min() >= 0.0 and probabilities.max() <= 1.0 + 1e-5):  # NaN compares false
        raise DataError("received a probability that is not a number in 0..1")
