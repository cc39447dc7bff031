"""The model that serves, on the same test images as its challenger."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frostline import artifacts, registry
from frostline.artifacts import Json
from frostline.data import lineage, metadata
from frostline.errors import DataError, RegistryError
from frostline.evaluation import compare, metrics, slices

Predict = Callable[[Path, Sequence[Json]], NDArray[np.float32]]


@dataclass(frozen=True)
class Challenger:
    """What the new model made of the test images.

    Attributes:
        labels: its class names, by index.
        rows: manifest rows of the images.
        probabilities: [rows, labels] float32.
    """

    labels: Sequence[str]
    rows: Sequence[Json]
    probabilities: NDArray[np.float32]


def against(
    root: str, model_name: str, challenger: Challenger, predict: Predict, confidence: float
) -> tuple[Json | None, NDArray[np.float32] | None]:
    """Compare with the champion, on the images that it was not made with and whose labels it knows.

    Args:
        root: the registry.
        model_name: name of the model.
        challenger: the other side.
        predict: gives probabilities, from a SavedModel's directory and manifest rows.
        confidence: level of the intervals, 0..1.

    Returns:
        The comparison, None where no champion serves yet; and the champion's probabilities for the challenger's rows
        and labels (0 for labels that it lacks), None where they could not be made.

    Raises:
        RegistryError: the champion cannot be read.
    """
    alias = registry.champion(root, model_name)
    if alias is None:
        return None, None
    version = registry.look_up(root, f"registry:{model_name}/{alias.version}")
    if version.manifest_digest != alias.manifest_digest:
        raise RegistryError(f"{model_name} version {alias.version} in {root} is not the one that was promoted")
    with tempfile.TemporaryDirectory() as scratch:
        directory = registry.download(version, Path(scratch) / "champion")
        described = artifacts.read_json(directory / "model.json", "model")
        known: Json = {
            "version": alias.version,
            "manifest_digest": alias.manifest_digest,
            "promotion": alias.promotion,
            "model_digest": described["model_digest"],
        }
        missing = sorted(set(described["labels"]) - set(challenger.labels))
        if missing:
            reason = (
                f"it knows labels that this model lacks ({', '.join(missing[:5])}); push under another model_name, or "
                "add images of them"
            )
            return {**known, "comparable": False, "reason": reason}, None
        try:
            made_with = lineage.read(directory)
        except DataError:
            reason = f"version {alias.version} does not say which images it was made with ({lineage.FILE})"
            return {**known, "comparable": False, "reason": reason}, None
        theirs = predict(directory, challenger.rows)
    spread = np.zeros_like(challenger.probabilities)
    spread[:, [challenger.labels.index(label) for label in described["labels"]]] = theirs
    usable = np.array(
        [
            row["sha256"] not in made_with and challenger.labels[row["label"]] in described["labels"]
            for row in challenger.rows
        ]
    )
    if not usable.any():
        reason = "it was made with every test image, or does not know their labels"
        return {**known, "comparable": False, "reason": reason}, spread
    new = sorted(set(challenger.labels) - set(described["labels"]))
    measured = _compare(challenger, spread, usable, confidence, same_labels=not new)
    counts = {
        "excluded": int(np.count_nonzero(~usable)),
        "made_with": sum(row["sha256"] in made_with for row in challenger.rows),
    }
    return {**known, "comparable": True, "reason": "", **counts, "new_labels": new, **measured}, spread


def _compare(
    challenger: Challenger,
    theirs: NDArray[np.float32],
    usable: NDArray[np.bool_],
    confidence: float,
    *,
    same_labels: bool,
) -> Json:
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
