"""The compute type of the frozen prefix: bfloat16 is tried once on a sample of real images, and the verdict is stored.

Every pod of every run reads the first verdict, so all features of a run have the same precision.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline import digests, storage
from frostline.data import images, records
from frostline.documents.data import ManifestRow
from frostline.documents.features import PRECISION, Agreement, PrecisionVerdict
from frostline.errors import DataError, NotFound, PreconditionFailed
from frostline.features.config import CacheConfig
from frostline.features.prefix import BATCH, BFLOAT16, FLOAT32, Prefix
from frostline.model import bfloat16

MAX_RELATIVE_L2 = 1e-2
MIN_AGREEMENT = 0.99  # fraction of images with the same prediction
_SAMPLE = BATCH  # images


def choose(
    store: str, full: Prefix, low: Prefix, config: CacheConfig, rows: Iterable[ManifestRow], size: int
) -> PrecisionVerdict:
    """Choose the compute type of the prefix.

    Args:
        store: root of the store, a directory or gs://.
        full: the prefix in float32.
        low: the same prefix in bfloat16.
        config: of the cache.
        rows: the manifest; its first readable training images, ordered by digest, are the sample.
        size: height and width of the model's input, in pixels.

    Returns:
        The verdict; with the result of `compare` if bfloat16 was tried. `uri` is its address, empty if no trial was
        necessary.

    Raises:
        DataError: an image of the sample has changed since it was ingested.
        StorageError: an image cannot be read, or the verdict cannot be written.
    """
    if config.precision == FLOAT32:
        return {"computed_in": FLOAT32, "reason": "as configured", "uri": ""}
    if not bfloat16.hardware_has_bfloat16():
        return {"computed_in": FLOAT32, "reason": "this hardware does not compute faster in bfloat16", "uri": ""}
    candidates = sorted((row for row in rows if row["split"] == "train"), key=lambda row: str(row["sha256"]))
    made_from = {"prefix": full.description, "images": [row["sha256"] for row in candidates[:_SAMPLE]]}
    uri = storage.join(store, "precision", f"{digests.of_json(made_from)}.json")
    return _read(uri) or _write(uri, _try(full, low, candidates, size), storage.ABSENT)


def withdraw(verdict: PrecisionVerdict, reason: str) -> PrecisionVerdict:
    """Replace a stored verdict by float32, for this run and all later ones."""
    return _write(verdict["uri"], {"computed_in": FLOAT32, "reason": reason}, None)


def _try(full: Prefix, low: Prefix, candidates: Iterable[ManifestRow], size: int) -> PrecisionVerdict:
    pixels, labels = _sample(candidates, size)
    exact, lowered = full(pixels), low(pixels)
    if not (np.isfinite(exact).all() and np.isfinite(lowered).all()):  # `prefix.fill` names the image
        return {"computed_in": FLOAT32, "reason": "a feature of a sampled image is not finite"}
    measured = compare(exact, lowered, labels)
    return {
        "computed_in": BFLOAT16 if measured["agrees"] else FLOAT32,
        "reason": _reason(measured),
        "images": measured["images"],
        "relative_l2": measured["relative_l2"],
        "agreement": measured["agreement"],
        "agrees": measured["agrees"],
    }


def _reason(measured: Agreement) -> str:
    return (
        f"on {measured['images']} images, bfloat16 features differ from float32 by {measured['relative_l2']:.2g} "
        f"(relative L2, limit {MAX_RELATIVE_L2:g}) and {100 * measured['agreement']:.1f} % of the predictions agree "
        f"(limit {100 * MIN_AGREEMENT:g} %)"
    )


def _sample(rows: Iterable[ManifestRow], size: int) -> tuple[tf.Tensor, NDArray[np.int64]]:
    """The first readable images: [n, size, size, 3] uint8 and [n] int64."""
    pixels, labels = [], []
    for row in rows:
        try:
            pixels.append(images.from_bytes(tf.constant(records.original(row)), size))
        except tf.errors.InvalidArgumentError:
            continue
        labels.append(row["label"])
        if len(pixels) == _SAMPLE:
            break
    return tf.stack(pixels), np.array(labels, np.int64)


def _read(uri: str) -> PrecisionVerdict | None:
    try:
        found = PRECISION.parse(storage.read_bytes(uri), uri)
    except (NotFound, DataError):
        return None
    return {**found, "uri": uri} if found.get("computed_in") in (FLOAT32, BFLOAT16) else None


def _write(uri: str, verdict: PrecisionVerdict, if_generation: str | None) -> PrecisionVerdict:
    try:
        storage.write_bytes(uri, PRECISION.encode(verdict), if_generation=if_generation)
    except PreconditionFailed:  # another pod was first, or the object is damaged
        return _read(uri) or _write(uri, verdict, None)
    return {**verdict, "uri": uri}


def compare(full: NDArray[np.float32], low: NDArray[np.float32], labels: NDArray[np.int64]) -> Agreement:
    """Compare features in low precision with float32, by their difference and by the predictions of a classifier.

    The classifier predicts the class with the nearest mean feature (of `full`, pooled over positions).

    Args:
        full: [images, ..., channels], computed in float32.
        low: the same in low precision.
        labels: [images] class indexes.

    Returns:
        `relative_l2`, the L2 norm of the difference over that of `full`; `agreement`, the fraction of images with the
        same prediction; `agrees`, whether both are within their limits.
    """
    relative = relative_l2(full, low)
    pooled = [features.reshape(len(features), -1, features.shape[-1]).mean(axis=1) for features in (full, low)]
    means = np.stack([pooled[0][labels == label].mean(axis=0) for label in np.unique(labels)])
    nearest = [np.linalg.norm(part[:, None] - means[None], axis=-1).argmin(axis=1) for part in pooled]
    agreement = float(np.mean(nearest[0] == nearest[1]))
    return {
        "images": len(full),
        "relative_l2": relative,
        "agreement": agreement,
        "agrees": bool(relative <= MAX_RELATIVE_L2 and agreement >= MIN_AGREEMENT),
    }


def relative_l2(exact: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """L2 norm of the difference over that of `exact`, over all values; the norm of the difference if `exact` is 0."""
    return float(np.linalg.norm(other - exact)) / (float(np.linalg.norm(exact)) or 1.0)
