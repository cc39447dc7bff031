"""Cached features as a source of batches for training."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.data.examples import Examples
from frostline.features.packs import Reader
from frostline.features.sidecars import Layout


@dataclass(frozen=True)
class Features:
    """The cached output of the frozen prefix at `layer`: batches of [batch, *layout.shape] in the storage type."""

    examples: Examples
    readers: Mapping[int, Reader]  # by view
    layout: Layout
    layer: str

    @property
    def devices(self) -> set[str]:
        """The kinds of the devices that computed the features."""
        return set().union(*(reader.devices for reader in self.readers.values()))

    @property
    def spec(self) -> Any:
        """Shape and dtype of one batch."""
        return tf.TensorSpec([None, *self.layout.shape], tf.as_dtype(self.layout.dtype))

    def read(self, positions: NDArray[np.int64], view: int) -> Any:
        """The rows of one batch; safe to call from several threads."""
        rows = self.readers[view].read_at(self._places[view][positions])
        with tf.device("CPU:0"):
            return tf.constant(rows)

    @functools.cached_property
    def _places(self) -> Mapping[int, NDArray[np.int64]]:
        """Where the rows of all examples are, by view."""
        return {view: reader.locate(self.examples.ids) for view, reader in self.readers.items()}
