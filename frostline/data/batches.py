"""Batches for training: each is a pure function of (seed, epoch, step), so training can start at any step.

Two sources give them: images, decoded from records and varied here, and `features.source.Features` from the cache.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.data import augment, records
from frostline.data.config import AugmentConfig
from frostline.data.examples import Examples

_UNVARIED = AugmentConfig()
_AHEAD = 2  # batches read before they are asked for
_DECODERS = os.cpu_count() or 1  # images of a batch at once


def steps(examples: int, batch_size: int) -> int:
    """Number of batches that one pass takes."""
    return -(-examples // batch_size)


def order(examples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The positions of all examples in the order of one epoch: [examples] int64, a function of (seed, epoch)."""
    return np.random.default_rng([seed, epoch]).permutation(examples)


def cut(positions: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """The positions of one pass, batch by batch.

    n examples are spread over ceil(n / batch_size) batches whose sizes differ by at most one, the larger first: no
    batch is so small that a replica gets nothing or that BatchNorm sees a handful; none is lost and none comes twice.
    """
    return np.array_split(positions, steps(len(positions), batch_size)) if len(positions) else []


class BatchSource(Protocol):
    """Where the model's inputs come from.

    Attributes:
        layer: name of the layer whose output the inputs are; empty for images.
        examples: what there is to read.
        spec: of one batch of inputs.
    """

    @property
    def layer(self) -> str:
        """See above."""

    @property
    def examples(self) -> Examples:
        """See above."""

    @property
    def spec(self) -> Any:
        """See above."""

    def read(self, positions: NDArray[np.int64], view: int) -> Any:
        """The inputs of one batch; `view` is which variant of each image. Safe to call from several threads."""


@dataclass(frozen=True)
class Images:
    """Images decoded from records, and varied where they are for training: [batch, size, size, 3] uint8."""

    examples: Examples
    image_size: int
    augment: AugmentConfig = _UNVARIED
    seed: int = 0
    layer: str = ""

    @property
    def spec(self) -> Any:
        """Of one batch."""
        return tf.TensorSpec([None, self.image_size, self.image_size, 3], tf.uint8)

    def read(self, positions: NDArray[np.int64], view: int) -> Any:
        """The images of one batch, decoded on all cores."""
        serialized, keys = self.examples.read(positions), self.examples.keys(positions)
        with tf.device("CPU:0"):
            return self._decode(tf.constant(serialized), tf.constant(keys), tf.constant(view, tf.int64))

    @functools.cached_property
    def _decode(self) -> Any:
        shape = tf.TensorSpec([self.image_size, self.image_size, 3], tf.uint8)

        def decode(serialized: Any, keys: Any, view: Any) -> Any:
            def image(pair: Any) -> Any:
                pixels, _ = records.parse(pair[0], self.image_size)
                if not self.augment.active:
                    return pixels
                return augment.apply(pixels, pair[1], view=view, seed=self.seed, config=self.augment)

            return tf.map_fn(image, (serialized, keys), parallel_iterations=_DECODERS, fn_output_signature=shape)

        many = [tf.TensorSpec([None], dtype) for dtype in (tf.string, tf.int64)]
        return tf.function(decode).get_concrete_function(*many, tf.TensorSpec([], tf.int64))


def stream(source: BatchSource, parts: Iterable[NDArray[np.int64]], view: int = 0) -> Iterator[tuple[Any, Any]]:
    """Read batches in order, a few ahead of the caller.

    Args:
        source: of the inputs.
        parts: the positions of each batch.
        view: which variant of the images.

    Yields:
        (inputs as `source.spec`, labels [batch] int64).

    Raises:
        FrostlineError: what the source met while reading.
    """
    coming: deque[tuple[NDArray[np.int64], Future[Any]]] = deque()

    def first() -> tuple[Any, Any]:
        part, inputs = coming.popleft()
        return inputs.result(), tf.constant(source.examples.labels[part])

    pool = ThreadPoolExecutor(_AHEAD)
    try:
        for part in parts:
            coming.append((part, pool.submit(source.read, part, view)))
            if len(coming) > _AHEAD:
                yield first()
        while coming:
            yield first()
    finally:  # also where the caller wants no more
        pool.shutdown(cancel_futures=True)
