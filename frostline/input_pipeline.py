"""Batches for training, read from TFRecords: a pure function of the records, the seed and the epoch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import tensorflow as tf

from frostline import records

_SHUFFLE_BUFFER = 4096  # encoded records held in memory


def steps(examples: int, batch_size: int) -> int:
    """Number of batches that one pass takes."""
    return math.ceil(examples / batch_size)


def batches(
    directory: Path, split: str, *, examples: int, image_size: int, batch_size: int, shuffle_seed: int | None = None
) -> Any:
    """One pass over a split in batches of nearly equal size.

    `examples` are spread over ceil(examples / batch_size) batches whose sizes differ by at most one, so that no batch
    is so small that a replica gets nothing or that BatchNorm sees a handful; none is lost and none comes twice.

    Args:
        directory: the TFRecords.
        split: train, validation or test.
        examples: number of examples in the split.
        image_size: stored height and width, in pixels.
        batch_size: largest global batch.
        shuffle_seed: order of the pass; None keeps the records' own.

    Returns:
        A tf.data.Dataset of ([batch, image_size, image_size, 3] uint8, [batch] int64).
    """
    dataset = tf.data.TFRecordDataset(records.files(directory, split))
    if shuffle_seed is not None:
        dataset = dataset.shuffle(min(examples, _SHUFFLE_BUFFER), seed=shuffle_seed, reshuffle_each_iteration=False)
    dataset = dataset.map(
        lambda record: records.parse(record, image_size), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    count = steps(examples, batch_size)
    small, larger = divmod(examples, count)  # the first `larger` batches hold one example more

    def batch_of(index: Any, _: Any) -> Any:
        in_larger = larger * (small + 1)
        return tf.where(index < in_larger, index // (small + 1), larger + (index - in_larger) // small)

    grouped = dataset.enumerate().group_by_window(
        key_func=batch_of,
        reduce_func=lambda _, window: window.map(lambda _, example: example).batch(small + 1),
        window_size_func=lambda key: tf.where(key < larger, tf.constant(small + 1, tf.int64), small),
    )
    return grouped.prefetch(tf.data.AUTOTUNE)
