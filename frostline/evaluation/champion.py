"""The champion, the model in production, on the same test images as its challenger."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frostline import registry
from frostline.data import lineage, metadata
from frostline.documents.data import IMAGES_FILE, ManifestRow
from frostline.documents.evaluation import Compared, Opponent, PairedWhole, Uncompared
from frostline.documents.training import MODEL
from frostline.errors import DataError, RegistryError
from frostline.evaluation import compare, metrics, slices
from frostline.registry import Version
from frostline.text import listed

Probabilities = NDArray[np.float32]
Predict = Callable[[Path, Sequence[ManifestRow]], Probabilities]


@dataclass(frozen=True)
class Challenger:
    """The new model's predictions for the test images.

    Attributes:
        labels: its class names, by index.
        rows: manifest rows of the images.
        probabilities: [rows, labels] float32.
    """

    labels: Sequence[str]
    rows: Sequence[ManifestRow]
    probabilities: Probabilities


def compare_with_champion(
    root: str,
    model_name: str,
    challenger: Challenger,
    predict: Predict,
    confidence: float,
    public_key: bytes | None = None,
) -> tuple[Compared | Uncompared | None, Probabilities | None]:
    """Compare on the images that the champion was not trained or validated on and whose labels it has.

    Args:
        root: the registry.
        model_name: name of the model.
        challenger: the new model.
        predict: returns probabilities, from a SavedModel's directory and manifest rows.
        confidence: level of the intervals, 0..1.
        public_key: PEM, with which the champion's signature must verify before it is loaded; None demands none.

    Returns:
        The comparison, None if there is no champion yet; and the champion's probabilities for the challenger's rows
        and labels (0 for labels that it lacks), None if they could not be computed.

    Raises:
        NotSigned: the champion has no such signature.
        RegistryError: the champion cannot be read.
    """
    alias = registry.champion(root, model_name)
    if alias is None:
        return None, None
    version = registry.look_up(root, f"registry:{model_name}/{alias.version}")
    if version.manifest_digest != alias.manifest_digest:
        raise RegistryError(f"{model_name} version {alias.version} in {root} is not the one that was promoted")
    return compare_with_version(version, alias.promotion, "champion", challenger, predict, confidence, public_key)


def compare_with_version(
    version: Version,
    promotion: str,
    role: str,
    challenger: Challenger,
    predict: Predict,
    confidence: float,
    public_key: bytes | None = None,
) -> tuple[Compared | Uncompared, Probabilities | None]:
    """Load a version and compare with it.

    Args:
        version: to compare with.
        promotion: name of its promotion.
        role: what it is called in a reason.
        challenger, predict, confidence, public_key: as in `compare_with_champion`, and so are the results.

    Raises:
        NotSigned: it has no signature that verifies with the public key.
        RegistryError: one of its files is missing, is not what was published, or may not be loaded.
    """
    with tempfile.TemporaryDirectory() as scratch:
        directory = registry.download_signed(version, Path(scratch) / "version", public_key)
        description = MODEL.read(directory)
        opponent: Opponent = {
            "version": version.number,
            "manifest_digest": version.manifest_digest,
            "promotion": promotion,
            "model_digest": description["model_digest"],
        }
        labels = description["labels"]
        missing = sorted(set(labels) - set(challenger.labels))
        if missing:
            reason = (
                f"the {role} has labels that this model lacks ({listed(missing, 5)}); use another model_name, or add "
                "images with these labels"
            )
            return {**opponent, "comparable": False, "reason": reason}, None
        try:
            made_with = lineage.read(directory)
        except DataError:
            reason = (
                f"version {version.number} does not say which images it was trained on: {IMAGES_FILE} is unreadable"
            )
            return {**opponent, "comparable": False, "reason": reason}, None
        try:
            predicted = predict(directory, challenger.rows)
        except DataError as error:
            raise RegistryError(f"the {role}, {version.model} version {version.number}: {error}") from error
    theirs = np.zeros_like(challenger.probabilities)
    theirs[:, [challenger.labels.index(label) for label in labels]] = predicted
    known = np.array([row["sha256"] in made_with for row in challenger.rows])
    return compare_predictions(opponent, role, labels, known, challenger, theirs, confidence), theirs


def compare_predictions(
    opponent: Opponent,
    role: str,
    labels: Sequence[str],
    known: NDArray[np.bool_],
    challenger: Challenger,
    theirs: Probabilities,
    confidence: float,
) -> Compared | Uncompared:
    """Compare with predictions on the images that are not known to the opponent and whose labels it has.

    Args:
        opponent: the version.
        role: what it is called in a reason.
        labels: its class names.
        known: [rows] whether it was trained or validated on the image.
        challenger, confidence: as in `compare_with_champion`.
        theirs: [rows, challenger's labels] float32, its probabilities.
    """
    has_label = np.array([challenger.labels[row["label"]] in labels for row in challenger.rows])
    usable = ~known & has_label
    if not usable.any():
        reason = f"the {role} was trained or validated on every test image, or lacks their labels"
        return {**opponent, "comparable": False, "reason": reason}
    new_labels = sorted(set(challenger.labels) - set(labels))
    return {
        **opponent,
        "comparable": True,
        "reason": "",
        "excluded": int(np.count_nonzero(~usable)),
        "made_with": int(np.count_nonzero(known)),
        "new_labels": new_labels,
        **_compare_usable(challenger, theirs, usable, confidence, same_labels=not new_labels),
    }


def _compare_usable(
    challenger: Challenger, theirs: Probabilities, usable: NDArray[np.bool_], confidence: float, *, same_labels: bool
) -> PairedWhole:
    """The counts on all usable images, on each class and on each metadata slice."""
    rows = [row for row, use in zip(challenger.rows, usable, strict=True) if use]
    truth = np.array([row["label"] for row in rows], np.int64)
    new, old = challenger.probabilities[usable], theirs[usable]
    first, second = new.argmax(axis=1), old.argmax(axis=1)
    groups = [(metadata.CLASSES, challenger.labels[label], truth == label) for label in np.unique(truth)]
    groups += [(one.column, one.value, one.mask) for one in slices.find(rows)[0]]
    return {
        **compare.compare(truth, first, second, confidence),
        "log_loss_difference": (
            metrics.mean(metrics.losses(truth, new) - metrics.losses(truth, old), confidence) if same_labels else None
        ),
        "slices": [
            {"column": column, "value": value, **compare.compare(truth[mask], first[mask], second[mask], confidence)}
            for column, value, mask in groups
        ],
    }
