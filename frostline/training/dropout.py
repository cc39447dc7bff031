"""Dropout whose mask is a function of (seed, layer, step, place in the global batch), and of nothing else.

Keras draws masks from a counter in each replica, so that two replicas train other numbers than one, and a training
that is resumed other numbers than one that never stopped. Here every replica draws the mask of the whole global batch
and takes its own rows: the same masks on one device and on many, with no state to save.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

_WHOLE_CHANNELS = (keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D, keras.layers.SpatialDropout3D)
_traced = threading.local()  # replicas are traced in threads of their own


@contextmanager
def masks(seed: int, step: Any, places: Any, size: Any) -> Iterator[None]:
    """Say which step and which rows of the global batch the layers called inside are working on.

    Args:
        seed: of the run.
        step: int64 scalar, counted over the whole run.
        places: [rows] int64, where this replica's rows are in the global batch.
        size: int64 scalar, rows of the global batch.
    """
    _traced.now = (seed, step, places, size)
    try:
        yield
    finally:
        del _traced.now


class StepDropout(keras.layers.Layer):
    """Stands in for a Dropout layer while training; it is never saved."""

    def __init__(self, layer: keras.layers.Dropout, number: int) -> None:
        """Drop as `layer` does; `number` keeps the masks of one step's layers apart."""
        super().__init__(name=f"{layer.name}_by_step", dtype=layer.dtype_policy)
        self._rate = layer.rate
        self._number = number
        self._channels_only = type(layer) in _WHOLE_CHANNELS
        self._noise_shape = layer.noise_shape

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Inputs with a share of them zeroed and the others scaled up, while training."""
        if not training:
            return inputs
        seed, step, places, size = _traced.now
        shape = list(tf.unstack(tf.shape(inputs, out_type=tf.int64), num=inputs.shape.rank))
        sizes = [own if fixed is None else fixed for own, fixed in zip(shape, self._mask_shape(inputs), strict=True)]
        rows_differ = self._mask_shape(inputs)[0] is None
        drawn_shape = tf.stack([tf.cast(part, tf.int64) for part in ([size, *sizes[1:]] if rows_differ else sizes)])
        drawn = tf.random.stateless_uniform(drawn_shape, self._seed(seed, step))
        kept = (tf.gather(drawn, places) if rows_differ else drawn) >= self._rate
        return tf.where(kept, inputs / (1.0 - self._rate), tf.zeros_like(inputs))

    def _seed(self, seed: int, step: Any) -> Any:
        start = tf.constant([seed, self._number], tf.int64)
        return tf.random.experimental.stateless_fold_in(start, step)

    def _mask_shape(self, inputs: Any) -> list[int | None]:
        """Size of the mask along each axis; None: that of the inputs."""
        if self._channels_only:
            return [None, *[1] * (inputs.shape.rank - 2), None]
        return [None] * inputs.shape.rank if self._noise_shape is None else list(self._noise_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As it is."""
        return input_shape


def by_step(model: keras.Model) -> tuple[keras.Model, list[str]]:
    """The model with its Dropout layers replaced; all others, and their weights, are shared.

    Returns:
        The model, and the names of layers that still draw from a counter of their own (GaussianNoise and the like).
    """
    found = [layer for layer in model.layers if type(layer) in (keras.layers.Dropout, *_WHOLE_CHANNELS)]
    others = [layer.name for layer in model.layers if layer not in found and _draws(layer)]
    substitutes = {id(layer): StepDropout(layer, number) for number, layer in enumerate(found) if layer.rate > 0}
    if not substitutes:
        return model, others
    return keras.models.clone_model(model, clone_function=lambda layer: substitutes.get(id(layer), layer)), others


def _draws(layer: keras.layers.Layer) -> bool:
    return any(part._seed_generators for part in layer._flatten_layers())
