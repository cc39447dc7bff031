"""Images decoded again from their original bytes, to hold against what the store has of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.data import images, records
from frostline.data.batches import Images
from frostline.data.examples import Examples
from frostline.documents.features import SampledImage
from frostline.errors import DataError

_ROUNDING = 2  # of 255 levels, by which processors and versions of TensorFlow may differ in a resized pixel


@dataclass(frozen=True)
class Originals(Examples):
    """Examples that were made now, by the code that makes records, and are nowhere in the store."""

    made: tuple[bytes, ...] = ()

    def read(self, positions: NDArray[np.int64]) -> list[bytes]:
        """The serialized records at these positions, [n] int64."""
        return [self.made[int(position)] for position in positions]


def read(rows: Sequence[SampledImage], image_size: int) -> Originals:
    """Read, decode and resize images.

    Args:
        rows: the images.
        image_size: height and width to resize to, in pixels.

    Raises:
        DataError: an image has changed since it was ingested.
        StorageError: an image cannot be read.
    """

    def make(row: SampledImage) -> bytes:
        image = images.from_bytes(tf.constant(records.original(row)), image_size)
        return records.serialize(image, row["label"], row["sha256"])

    labels = np.array([row["label"] for row in rows], np.int64)
    ids, made = tuple(row["sha256"] for row in rows), tuple(map(make, rows))
    return Originals("the original bytes", ids, labels, (), Path(), made=made)


def require_same(stored: Examples, originals: Originals, image_size: int) -> None:
    """Compare the pixels of records with those of the original bytes.

    Args:
        stored: the records, with all of these images.
        originals: some images.
        image_size: height and width, in pixels.

    Raises:
        DataError: a record has other pixels, or another label; or it cannot be read.
    """
    places = {identifier: position for position, identifier in enumerate(stored.ids)}
    chosen = np.array([places[identifier] for identifier in originals.ids], np.int64)
    if not len(chosen):
        return
    pixels = [
        Images(examples, image_size).read(positions, 0).numpy().astype(np.int16)
        for examples, positions in ((stored, chosen), (originals, np.arange(len(chosen))))
    ]
    wrong = np.abs(pixels[0] - pixels[1]).max(axis=(1, 2, 3)) > _ROUNDING
    wrong |= stored.labels[chosen] != originals.labels
    if wrong.any():
        raise DataError(
            f"{stored.origin}: the record of image {originals.ids[int(wrong.argmax())]} is not what its original bytes "
            f"give ({int(wrong.sum())} of {len(chosen)} that were compared); remove the directory and run the pipeline "
            "again"
        )
