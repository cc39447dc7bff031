"""A linear probe: what a head fitted on features in bfloat16 answers, compared with one fitted on those in float32.

A head is trained on the features as they are cached and used on those that serving computes, which are in float32. So
both probes are judged on the float32 features of images that they were not fitted on. A probe is a ridge regression of
the classes' indicators (T. Hastie, R. Tibshirani and J. Friedman, "The Elements of Statistical Learning", 2nd edition,
section 4.2): its scores estimate probabilities, and it is solved exactly, so nothing depends on an optimiser.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frostline.documents.features import ProbeAnswers

FEWEST = 24  # images of classes with several; on 8, the shift of one sound network was between 1 and 11 %
_FOLDS = 8
_RIDGE = 0.1  # times the mean squared length of the features; from 0.03 to 1, the shift of InceptionV3 changes little
_FLOOR = 0.01  # of the mean variance is added to each channel's: one that hardly varies must not be magnified

Matrix = NDArray[np.float64]


def compare(exact: Matrix, lowered: Matrix, labels: NDArray[np.int64]) -> ProbeAnswers | None:
    """Fit on each kind of features, and judge both probes on float32 features of images left out.

    Args:
        exact: [images, channels], computed in float32.
        lowered: the same in bfloat16.
        labels: [images] class indexes.

    Returns:
        `shift`, the L2 norm of the difference of the scores over that of the float32 probe's, less the frequencies of
        the classes: 1 is the shift of a probe that has lost all it knew. `changed`, the number of predictions that
        differ, and `lost`, their margins over the margins of all: a margin is the distance between the float32 probe's
        two highest scores, so a near tie that changes counts little.

        None if that would not be fair: fewer than FEWEST images are of classes with two or more, there are not two such
        classes, or the images do not differ.
    """
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    several = counts[counts > 1]
    if len(several) < 2 or several.sum() < FEWEST:
        return None
    targets, folds = np.eye(len(counts))[classes], _folds(classes)
    known, changed = (_scores(fitted, exact, targets, folds) for fitted in (exact, lowered))
    size = float(np.linalg.norm(known))
    if not size:
        return None
    frequencies = np.stack([targets[folds != fold].mean(axis=0) for fold in folds])
    first, second = (frequencies + scores for scores in (known, changed))
    highest = np.sort(first, axis=1)
    margins, other = highest[:, -1] - highest[:, -2], first.argmax(axis=1) != second.argmax(axis=1)
    return {
        "shift": float(np.linalg.norm(changed - known)) / size,
        "changed": int(other.sum()),
        "lost": float(margins[other].sum()) / (float(margins.sum()) or 1.0),
    }


def _folds(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The fold of each image: those of one class are in different ones as far as possible."""
    folds = np.empty(len(classes), np.int64)
    folds[np.argsort(classes, kind="stable")] = np.arange(len(classes)) % _FOLDS
    return folds


def _scores(fitted: Matrix, judged: Matrix, targets: Matrix, folds: NDArray[np.int64]) -> Matrix:
    """Scores of each image by a probe fitted on the other folds, less the frequencies of the classes there."""
    fitted, judged = fitted - fitted[0], judged - fitted[0]  # what is constant becomes 0 exactly
    variance = fitted.var(axis=0)
    scale = np.sqrt(variance + _FLOOR * variance.mean()) if variance.any() else np.ones_like(variance)
    inputs, others = ((features - fitted.mean(axis=0)) / scale for features in (fitted, judged))
    kernel, between = inputs @ inputs.T, others @ inputs.T
    scores = np.zeros_like(targets)
    for fold in np.unique(folds):
        within, out = folds != fold, folds == fold
        gram = kernel[np.ix_(within, within)]
        ridge = _RIDGE * float(gram.trace()) / len(gram) or 1.0
        known = targets[within] - targets[within].mean(axis=0)
        scores[out] = between[np.ix_(out, within)] @ np.linalg.solve(gram + ridge * np.eye(len(gram)), known)
    return scores
