"""Batches for training: each is a pure function of (seed, epoch, step), so training can start at any step.

Two sources give them: records, decoded and varied here, and features of the frozen prefix, read from the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline import augment, records
from frostline.errors import FrostlineError
from frostline.examples import Examples
from frostline.features import Layout, Reader
from frostline.training_config import AugmentConfig

_UNVARIED = AugmentConfig()
_AHEAD = 2  # batches read before they are asked for


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


class Source(Protocol):
    """Where the model's inputs come from: read on the host, then decoded in a graph.

    Attributes:
        layer: name of the layer whose output the inputs are; empty for images.
        examples: what there is to read.
        spec: of one batch of inputs.
        types: dtypes of what `load` gives.
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

    @property
    def types(self) -> tuple[Any, ...]:
        """See above."""

    def load(self, positions: NDArray[np.int64], view: int) -> tuple[Any, ...]:
        """What the host reads for one batch; `view` is which variant of each image."""

    def decode(self, loaded: Sequence[Any], view: int) -> Any:
        """The model's inputs, in a graph, from what `load` gave."""


@dataclass(frozen=True)
class Images:
    """Images decoded from records, and varied where they are for training: [batch, size, size, 3] uint8."""

    examples: Examples
    image_size: int
    augment: AugmentConfig = _UNVARIED
    seed: int = 0
    layer: str = ""
    types: tuple[Any, ...] = (tf.string, tf.int64)

    @property
    def spec(self) -> Any:
        """Of one batch."""
        return tf.TensorSpec([None, self.image_size, self.image_size, 3], tf.uint8)

    def load(self, positions: NDArray[np.int64], view: int) -> tuple[Any, ...]:
        """Serialized records and the examples' keys."""
        return np.array(self.examples.read(positions), object), self.examples.keys(positions)

    def decode(self, loaded: Sequence[Any], view: int) -> Any:
        """The images of one batch; `view` is which variant of each."""

        def image(pair: Any) -> Any:
            pixels, _ = records.parse(pair[0], self.image_size)
            if not self.augment.active:
                return pixels
            return augment.apply(pixels, pair[1], view=tf.constant(view, tf.int64), seed=self.seed, config=self.augment)

        shape = tf.TensorSpec([self.image_size, self.image_size, 3], tf.uint8)
        return tf.map_fn(image, tuple(loaded), fn_output_signature=shape)


@dataclass(frozen=True)
class Features:
    """What the frozen prefix gives at `layer`, read from the cache: [batch, *layout.shape] of the stored type."""

    examples: Examples
    readers: Mapping[int, Reader]  # by view
    layout: Layout
    layer: str

    @property
    def spec(self) -> Any:
        """Of one batch."""
        return tf.TensorSpec([None, *self.layout.shape], tf.as_dtype(self.layout.dtype))

    @property
    def types(self) -> tuple[Any, ...]:
        """Of what `load` gives."""
        return (self.spec.dtype,)

    def load(self, positions: NDArray[np.int64], view: int) -> tuple[Any, ...]:
        """The rows of one batch."""
        return (self.readers[view].read([self.examples.ids[position] for position in positions]),)

    def decode(self, loaded: Sequence[Any], view: int) -> Any:
        """The rows as they are."""
        return loaded[0]


def batches(source: Source, parts: Sequence[NDArray[np.int64]], view: int = 0) -> Iterator[tuple[Any, Any]]:
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
    failures: list[FrostlineError] = []  # tf.data's threads hand no Python exception on

    def load(step: Any) -> tuple[Any, ...]:
        try:
            return source.load(parts[int(step)], view)
        except FrostlineError as error:
            failures.append(error)
            raise

    def inputs(step: Any) -> Any:
        loaded = tf.numpy_function(load, [step], source.types, stateful=False)
        return tf.ensure_shape(source.decode(loaded, view), source.spec.shape)

    dataset = tf.data.Dataset.range(len(parts)).map(inputs, tf.data.AUTOTUNE, deterministic=True).prefetch(_AHEAD)
    try:
        for part, batch in zip(parts, dataset, strict=True):
            yield batch, tf.constant(source.examples.labels[part])
    except tf.errors.OpError as error:
        raise (failures[0] if failures else error) from error
