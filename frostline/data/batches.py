"""Batches for training: each is a pure function of (seed, epoch, step), so training can start at any step.

There are two sources: `Images` reads records and augments the images, `features.source.Features` reads the cache.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
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
_CORES = min(os.cpu_count() or 1, 16)  # a node has more than a pod may use, and a thread keeps up to 4 MB
_PART = 2**17  # values of pixels that a thread takes at once, but at least one image


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
    """Images read from records, and augmented if they are for training: [batch, size, size, 3] uint8.

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
        """Read one batch; all CPU cores take part, up to 16.

        Args:
            positions: [batch] int64.
            view: number of the variant of each image.

        Returns:
            A tensor as `spec` says, on the CPU.

        Raises:
            DataError: a record is damaged, or has an image of another size or format.
            StorageError: a file cannot be read or downloaded.
        """
        found = np.empty((len(positions), self.image_size, self.image_size, 3), np.uint8)
        keys = self.examples.keys(positions)
        drawn = augment.draws(keys, view=view, seed=self.seed) if self.augment.active else None

        def fill(part: slice) -> None:
            for image, record in zip(found[part], self.examples.read(positions[part]), strict=True):
                image[...] = records.pixels(record, self.image_size)
            if drawn is not None:
                found[part] = augment.apply(found[part], drawn[part], self.augment)

        list(_pool().map(fill, self._parts(len(positions))))
        with tf.device("CPU:0"):
            return tf.constant(found)

    def _parts(self, count: int) -> list[slice]:
        """Cut a batch into parts that fit into a core's cache and are worth a thread's time."""
        size = max(1, _PART // (3 * self.image_size**2))
        return [slice(start, start + size) for start in range(0, count, size)]


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """The threads of all sources: one for each core."""
    return ThreadPoolExecutor(_CORES, "images")


def stream(
    source: BatchSource,
    parts: Iterable[NDArray[np.int64]],
    view: int = 0,
    prepare: Callable[[Any, Any], Any] = lambda inputs, labels: (inputs, labels),
) -> Iterator[Any]:
    """Read batches in order, and prefetch a few.

    Args:
        source: images or features.
        parts: the positions in each batch, [batch] int64.
        view: number of the variant of each image.
        prepare: what the reading threads make of a batch, such as copies on the devices that will use it.

    Yields:
        `prepare` of inputs as `source.spec` and labels, [batch] int64, both on the CPU.

    Raises:
        FrostlineError: the source cannot read a batch.
    """
    pending: deque[Future[Any]] = deque()

    def load(part: NDArray[np.int64]) -> Any:
        inputs = source.read(part, view)
        with tf.device("CPU:0"):
            labels = tf.constant(source.examples.labels[part])
        return prepare(inputs, labels)

    pool = ThreadPoolExecutor(_PREFETCHED, "batches")
    try:
        for part in parts:
            pending.append(pool.submit(load, part))
            if len(pending) > _PREFETCHED:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:  # also if the caller stops early
        pool.shutdown(cancel_futures=True)
