"""TFRecords in the TensorFlow Datasets layout: `NAME-SPLIT.tfrecord-SSSSS-of-NNNNN` in one directory.

An example holds `image` ([size, size, 3] uint8, the bytes as they are), `label` (int64) and `id` (the SHA-256 of the
original bytes). The version of this format is `record_files.FORMAT_VERSION`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline import digests, storage
from frostline.data.record_files import file_name
from frostline.data.splits import SPLITS
from frostline.documents.data import ManifestRow, SplitName
from frostline.documents.features import SampledImage
from frostline.errors import DataError

_BEFORE_ID = 6  # bytes of an example before its first field, at most: a tag, and the length of all fields
_BEFORE_IMAGE = 100  # bytes of an example before the field `image`, at most: these, and the field `id`


def original(row: ManifestRow | SampledImage) -> bytes:
    """Read the original bytes of an image.

    Raises:
        DataError: the bytes have changed since they were ingested.
        StorageError: they cannot be read.
    """
    for _ in range(2):  # a part of an object in a bucket has no checksum, so a bit may have changed on the way
        data = storage.read_bytes(row["uri"], offset=row["offset"], length=row["size"])
        if digests.of_bytes(data) == row["sha256"]:
            return data
    raise DataError(f"{row['id']}: has changed since it was ingested; run the pipeline again")


def serialize(image: Any, label: int, identifier: str) -> bytes:
    """Encode one example.

    Args:
        image: [size, size, 3] uint8.
        label: index of the class.
        identifier: SHA-256 of the original bytes.
    """
    # The fields are in the order of their names, so the id is the first and the label the last: see `is_of`, `pixels`.
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        raise TypeError(f"pixels: received {pixels.dtype}; expected uint8")
    fields = {"id": _bytes(identifier.encode()), "image": _bytes(pixels.tobytes()), "label": _integer(label)}
    example = tf.train.Example(features=tf.train.Features(feature=fields))
    return bytes(example.SerializeToString(deterministic=True))


def _bytes(value: bytes) -> Any:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _integer(value: int) -> Any:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _field(name: str, feature: Any) -> bytes:
    """A feature as it is serialized in an example."""
    return bytes(tf.train.Features(feature={name: feature}).SerializeToString())


def is_of(record: bytes, identifier: str, label: int) -> bool:
    """Whether a serialized example has this id and this label, where `serialize` puts them; pixels are not looked at.

    Args:
        record: the example.
        identifier: SHA-256 of the original bytes.
        label: index of the class.
    """
    first, last = _fields(label)
    first += identifier.encode()
    return record.endswith(last) and record.find(first, 0, _BEFORE_ID + len(first)) >= 0


def pixels(record: bytes, image_size: int) -> NDArray[np.uint8]:
    """The image of a serialized example, which is where `serialize` puts it; nothing is copied.

    Args:
        record: the example.
        image_size: height and width, in pixels.

    Returns:
        [size, size, 3] uint8, read-only.

    Raises:
        DataError: the example has an image of another size, or another format.
    """
    before, count = _before_pixels(image_size), image_size * image_size * 3
    found = record.find(before, 0, _BEFORE_IMAGE + len(before))
    if found < 0 or len(record) < found + len(before) + count:
        raise DataError(f"a record has no image of {image_size} x {image_size} pixels as bytes; run the pipeline again")
    return np.frombuffer(record, np.uint8, count, found + len(before)).reshape(image_size, image_size, 3)


@functools.cache
def _fields(label: int) -> tuple[bytes, bytes]:
    """What precedes an id in its serialized field, and the serialized field of a label."""
    identifier = bytes(64)
    return _field("id", _bytes(identifier)).removesuffix(identifier), _field("label", _integer(label))


@functools.cache
def _before_pixels(image_size: int) -> bytes:
    """What precedes the pixels in their serialized field."""
    blank = bytes(image_size * image_size * 3)
    return _field("image", _bytes(blank)).removesuffix(blank)


@contextlib.contextmanager
def writers(directory: Path, dataset: str, shard: str) -> Iterator[dict[SplitName, tf.io.TFRecordWriter]]:
    """Open one writer per split. Every split gets a file, even an empty one, as TFDS expects."""
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        yield {
            split: stack.enter_context(tf.io.TFRecordWriter(str(directory / file_name(dataset, split, shard))))
            for split in SPLITS
        }
