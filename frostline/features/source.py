"""Cached features as what a training reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.data.examples import Examples
from frostline.features.store import Layout, Reader


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

    def read(self, positions: NDArray[np.int64], view: int) -> Any:
        """The rows of one batch."""
        rows = self.readers[view].read([self.examples.ids[position] for position in positions])
        with tf.device("CPU:0"):
            return tf.constant(rows)
