"""Batches for training: each is a pure function of (seed, epoch, step), so training can start at any step.

There are two sources: `Images` decodes records and augments the images, `features.source.Features` reads the cache.
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

_NO_AUGMENTATION = AugmentConfig()
_PREFETCHED = 2  # batches
_DECODERS = os.cpu_count() or 1  # images decoded at once


def steps(examples: int, batch_size: int) -> int:
    """Number of batches in one pass."""
    return -(-examples // batch_size)


def order(examples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Order of all examples in one epoch: their positions, [examples] int64, a pure function of (seed, epoch)."""
    return np.random.default_rng([seed, epoch]).permutation(examples)


def cut(positions: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Cut one pass into batches.

    n examples make ceil(n / batch_size) batches whose sizes differ by at most one, larger ones first. So no batch is
    too small for BatchNorm or for the number of replicas, and every example is in exactly one batch.

    Args:
        positions: [examples] int64.
        batch_size: largest number of examples per batch.

    Returns:
        The positions in each batch, [batch] int64.
    """
    return np.array_split(positions, steps(len(positions), batch_size)) if len(positions) else []


class BatchSource(Protocol):
    """Where the model's inputs come from: images, or cached features."""

    @property
    def layer(self) -> str:
        """Name of the layer whose output the inputs are; empty for images."""

    @property
    def examples(self) -> Examples:
        """The examples that can be read."""

    @property
    def spec(self) -> Any:
        """The tf.TensorSpec of a batch of inputs."""

    def read(self, positions: NDArray[np.int64], view: int) -> Any:
        """Read one batch of inputs. Safe to call from several threads.

        Args:
            positions: [batch] int64.
            view: number of the variant of each image.

        Returns:
            A tensor as `spec` says.
        """


@dataclass(frozen=True)
class Images:
    """Images decoded from records, and augmented if they are for training: [batch, size, size, 3] uint8.

    Attributes:
        examples: the records.
        image_size: height and width, in pixels.
        augment: random changes to the images; none by default.
        seed: seed of these changes.
        layer: empty, as for every source of images.
    """

    examples: Examples
    image_size: int
    augment: AugmentConfig = _NO_AUGMENTATION
    seed: int = 0
    layer: str = ""

    @property
    def spec(self) -> Any:
        """The tf.TensorSpec of a batch."""
        return tf.TensorSpec([None, self.image_size, self.image_size, 3], tf.uint8)

    def read(self, positions: NDArray[np.int64], view: int) -> Any:
        """Read one batch; all CPU cores decode."""
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
        return tf.function(decode, autograph=False).get_concrete_function(*many, tf.TensorSpec([], tf.int64))


def stream(source: BatchSource, parts: Iterable[NDArray[np.int64]], view: int = 0) -> Iterator[tuple[Any, Any]]:
    """Read batches in order, and prefetch a few.

    Args:
        source: images or features.
        parts: the positions in each batch, [batch] int64.
        view: number of the variant of each image.

    Yields:
        (inputs as `source.spec`, labels [batch] int64).

    Raises:
        FrostlineError: the source cannot read a batch.
    """
    pending: deque[tuple[NDArray[np.int64], Future[Any]]] = deque()

    def first() -> tuple[Any, Any]:
        part, inputs = pending.popleft()
        return inputs.result(), tf.constant(source.examples.labels[part])

    pool = ThreadPoolExecutor(_PREFETCHED)
    try:
        for part in parts:
            pending.append((part, pool.submit(source.read, part, view)))
            if len(pending) > _PREFETCHED:
                yield first()
        while pending:
            yield first()
    finally:  # also if the caller stops early
        pool.shutdown(cancel_futures=True)
