"""Whether the frozen prefix may compute in bfloat16: tried once on a sample of the real images, and kept in the store.

Every pod of every run finds the first one's answer, so that all features of a run are of one kind.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline import artifacts, digests, storage
from frostline.artifacts import Json
from frostline.data import images, records
from frostline.errors import DataError, NotFound, PreconditionFailed
from frostline.features.config import CacheConfig
from frostline.features.prefix import BATCH, BFLOAT16, FLOAT32, Prefix
from frostline.model import bfloat16

MAX_RELATIVE_L2 = 1e-2
MIN_AGREEMENT = 0.99  # share of images with the same prediction
_SAMPLE = BATCH  # images


def choose(store: str, full: Prefix, low: Prefix, config: CacheConfig, rows: Iterable[Json], size: int) -> Json:
    """What the prefix computes in.

    Args:
        store: root of the heavy bytes.
        full: the prefix in float32.
        low: the same prefix in bfloat16.
        config: of the cache.
        rows: the manifest; its first readable training images by content are the sample.
        size: height and width of the model's input, in pixels.

    Returns:
        {computed_in, reason, uri}; where it was tried also what `compare` gives. `uri` is where the answer
        is kept, empty where none had to be found.
    """
    if config.precision == FLOAT32:
        return {"computed_in": FLOAT32, "reason": "as configured", "uri": ""}
    if not bfloat16.hardware_has_bfloat16():
        return {"computed_in": FLOAT32, "reason": "this hardware gains nothing from bfloat16", "uri": ""}
    candidates = sorted((row for row in rows if row["split"] == "train"), key=lambda row: str(row["sha256"]))
    made_from = {"prefix": full.description, "images": [row["sha256"] for row in candidates[:_SAMPLE]]}
    uri = storage.join(store, "precision", f"{digests.of_json(made_from)}.json")
    found = _read(uri)
    if found is not None:
        return found
    pixels, labels = _sample(candidates, size)
    exact, lowered = full(pixels), low(pixels)
    if not (np.isfinite(exact).all() and np.isfinite(lowered).all()):  # who fills the cache names the image
        reason = "a feature of the sample's images is not finite"
        return _write(uri, {"computed_in": FLOAT32, "reason": reason}, storage.ABSENT)
    measured = compare(exact, lowered, labels)
    kind = BFLOAT16 if measured["agrees"] else FLOAT32
    return _write(uri, {"computed_in": kind, "reason": _told(measured), **measured}, storage.ABSENT)


def withdraw(verdict: Json, reason: str) -> Json:
    """Replace an answer by float32, for this run and all that follow."""
    return _write(verdict["uri"], {"computed_in": FLOAT32, "reason": reason}, None)


def _told(measured: Json) -> str:
    return (
        f"on {measured['images']} images the features differ from float32's by {measured['relative_l2']:.2g} (relative "
        f"L2, limit {MAX_RELATIVE_L2:g}) and {100 * measured['agreement']:.1f} % of the predictions agree "
        f"(limit {100 * MIN_AGREEMENT:g} %)"
    )


def _sample(rows: Iterable[Json], size: int) -> tuple[tf.Tensor, NDArray[np.int64]]:
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


def _read(uri: str) -> Json | None:
    try:
        found = artifacts.parse_json(storage.read_bytes(uri), uri)
    except (NotFound, DataError):
        return None
    known = found.get("schema") == artifacts.schema("precision") and found.get("computed_in") in (FLOAT32, BFLOAT16)
    return {**found, "uri": uri} if known else None


def _write(uri: str, verdict: Json, if_generation: str | None) -> Json:
    try:
        storage.write_bytes(uri, artifacts.encode("precision", verdict), if_generation=if_generation)
    except PreconditionFailed:  # another pod was first, or what is there is no answer
        found = _read(uri)
        return found if found is not None else _write(uri, verdict, None)
    return {**verdict, "uri": uri}


def compare(full: NDArray[np.float32], low: NDArray[np.float32], labels: NDArray[np.int64]) -> Json:
    """How far features in low precision are from those in float32, and whether a classifier would notice.

    The classifier predicts the class whose mean feature (of `full`, pooled over positions) is nearest.

    Args:
        full: [images, ..., channels], computed in float32.
        low: the same in low precision.
        labels: [images] class indexes.

    Returns:
        {images, relative_l2, agreement, agrees}: the L2 norm of the difference over that of `full`; the share of
        images with the same prediction; whether both are within their limits.
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
    """The L2 norm of the difference over that of `exact`, all values together; the norm itself where `exact` is 0."""
    return float(np.linalg.norm(other - exact)) / (float(np.linalg.norm(exact)) or 1.0)
