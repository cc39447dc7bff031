"""TFRecords in the TensorFlow Datasets layout: `NAME-SPLIT.tfrecord-SSSSS-of-NNNNN` in one directory.

An example holds `image` (PNG, [size, size, 3] uint8), `label` (int64) and `id` (the SHA-256 of the original bytes).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from frostline import digests, storage
from frostline.data.record_files import file_name
from frostline.data.splits import SPLITS
from frostline.documents.data import ManifestRow, SplitName
from frostline.documents.features import SampledImage
from frostline.errors import DataError

_BEFORE_ID = 6  # bytes of an example before its first field, at most: a tag, and the length of all fields


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
    # The fields are in the order of their names, so the id is the first and the label the last: see `is_of`.
    # Compression level 1 takes 0.7 ms for a photo of 128 px, the default 3.7 ms; it gives 11 % more bytes.
    png = tf.io.encode_png(image, compression=1).numpy()
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[identifier.encode()])),
    }
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True))


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


@functools.cache
def _fields(label: int) -> tuple[bytes, bytes]:
    """What precedes an id in its serialized field, and the serialized field of a label."""
    identifier = bytes(64)
    named = {
        "id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[identifier])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    first, last = (bytes(tf.train.Features(feature={name: value}).SerializeToString()) for name, value in named.items())
    return first.removesuffix(identifier), last


def parse(record: Any, size: int) -> tuple[Any, Any]:
    """Parse a serialized example, with TensorFlow operations.

    Args:
        record: scalar string tensor.
        size: height and width of the image, in pixels.

    Returns:
        ([size, size, 3] uint8, scalar int64 label).
    """
    fields = tf.io.parse_single_example(
        record, {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    )
    image = tf.io.decode_png(fields["image"], channels=3)
    return tf.ensure_shape(image, [size, size, 3]), fields["label"]


@contextlib.contextmanager
def writers(directory: Path, dataset: str, shard: str) -> Iterator[dict[SplitName, tf.io.TFRecordWriter]]:
    """Open one writer per split. Every split gets a file, even an empty one, as TFDS expects."""
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        yield {
            split: stack.enter_context(tf.io.TFRecordWriter(str(directory / file_name(dataset, split, shard))))
            for split in SPLITS
        }
