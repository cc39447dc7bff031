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
from frostline.documents.features import PRECISION, PrecisionVerdict
from frostline.errors import DataError, NotFound, PreconditionFailed
from frostline.features import trial
from frostline.features.config import CacheConfig
from frostline.features.prefix import BATCH, BFLOAT16, FLOAT32, Prefix
from frostline.model import bfloat16


def choose(
    store: str, full: Prefix, low: Prefix, config: CacheConfig, rows: Iterable[ManifestRow], size: int, passes: int
) -> PrecisionVerdict:
    """Choose the compute type of the prefix.

    Args:
        store: root of the store, a directory or gs://.
        full: the prefix in float32.
        low: the same prefix in bfloat16.
        config: of the cache.
        rows: the manifest; some readable training images, see `trial.ordered`, are the sample.
        size: height and width of the model's input, in pixels.
        passes: images of all views that the run sends through the prefix if the store has none of their features: the
            same for all pods of the run, so that they decide alike.

    Returns:
        The verdict, with the result of `trial.compare` if bfloat16 was tried. `uri` is its address, empty if no trial
        was necessary or would pay.

    Raises:
        DataError: an image of the sample has changed since it was ingested.
        StorageError: an image cannot be read, or the verdict cannot be written.
    """
    if config.precision == FLOAT32:
        return {"computed_in": FLOAT32, "reason": "as configured", "uri": ""}
    if not bfloat16.hardware_has_bfloat16():
        return {"computed_in": FLOAT32, "reason": "this hardware does not compute in bfloat16", "uri": ""}
    most = trial.size_for(passes)
    if not most:
        reason = f"bfloat16 saves less on {passes:,} images than it costs to try it"
        return {"computed_in": FLOAT32, "reason": reason, "uri": ""}
    candidates = trial.ordered(rows, most)
    sample = [row["sha256"] for row in candidates[:most]]
    made_from = {"trial": trial.VERSION, "prefix": full.digest, "images": sample}
    uri = storage.join(store, "precision", f"{digests.of_json(made_from)}.json")
    known = _read(uri)
    if known is None and not bfloat16.is_faster():  # measured once: all runs that find the verdict agree with it
        return {"computed_in": FLOAT32, "reason": "this hardware does not compute faster in bfloat16", "uri": ""}
    return known or _write(uri, _try(full, low, candidates, most, size), storage.ABSENT)


def withdraw(verdict: PrecisionVerdict, reason: str) -> PrecisionVerdict:
    """Replace a stored verdict by float32, for this run and all later ones."""
    return _write(verdict["uri"], {"computed_in": FLOAT32, "reason": reason}, None)


def _try(full: Prefix, low: Prefix, candidates: Iterable[ManifestRow], most: int, size: int) -> PrecisionVerdict:
    pixels, labels = _sample(candidates, most, size)
    if not labels:
        return {"computed_in": FLOAT32, "reason": "there is no training image to try bfloat16 on"}
    batches = (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
    measured = trial.compare(((full(batch), low(batch)) for batch in batches), labels)
    if measured is None:  # in float32, `prefix.fill` names the image
        return {"computed_in": FLOAT32, "reason": "a feature of a sampled image is not finite"}
    computed_in = BFLOAT16 if measured["agrees"] else FLOAT32
    return {"computed_in": computed_in, "reason": trial.reason(measured), "trial": measured}


def _sample(rows: Iterable[ManifestRow], most: int, size: int) -> tuple[NDArray[np.uint8], list[int]]:
    """The first readable images: [n, size, size, 3], and their labels."""
    pixels, labels = [], []
    for row in rows:
        try:
            pixels.append(images.from_bytes(tf.constant(records.original(row)), size).numpy())
        except tf.errors.InvalidArgumentError:
            continue
        labels.append(row["label"])
        if len(pixels) == most:
            break
    return np.array(pixels, np.uint8), labels


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
