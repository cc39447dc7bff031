"""Dropout whose mask is a function of (seed, layer, step, row of the global batch) only.

Keras draws masks from a counter per replica, so results depend on the number of replicas and on whether a training was
resumed. Here every replica draws the mask of the whole global batch and uses its own rows: the masks are the same on
one device and on many, and there is no state to save.
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
    """A context that gives the layers called in it their step and their rows of the global batch.

    Args:
        seed: of the run.
        step: int64 scalar, number of the step in the whole run.
        places: [rows] int64, positions of this replica's rows in the global batch.
        size: int64 scalar, number of rows of the global batch.
    """
    _traced.now = (seed, step, places, size)
    try:
        yield
    finally:
        del _traced.now


class StepDropout(keras.layers.Layer):
    """Replaces a Dropout layer in training; it is never saved."""

    def __init__(self, layer: keras.layers.Dropout, number: int) -> None:
        """Drop as `layer` does; `number` makes the masks of the layers of one step differ."""
        super().__init__(name=f"{layer.name}_by_step", dtype=layer.dtype_policy)
        self._rate = layer.rate
        self._number = number
        self._channels_only = type(layer) in _WHOLE_CHANNELS
        self._noise_shape = layer.noise_shape

    def call(self, inputs: Any, training: bool = False) -> Any:
        """In training, inputs with a fraction of them set to zero and the rest scaled up."""
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
        """Size of the mask along each axis; None for the size of the inputs."""
        if self._channels_only:
            return [None, *[1] * (inputs.shape.rank - 2), None]
        return [None] * inputs.shape.rank if self._noise_shape is None else list(self._noise_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the inputs."""
        return input_shape


def by_step(model: keras.Model) -> tuple[keras.Model, list[str]]:
    """The model with its Dropout layers replaced; all other layers, and their weights, are shared.

    Returns:
        The model, and the names of layers that still draw from their own counter (GaussianNoise and the like).
    """
    found = [layer for layer in model.layers if type(layer) in (keras.layers.Dropout, *_WHOLE_CHANNELS)]
    others = [layer.name for layer in model.layers if layer not in found and _draws(layer)]
    substitutes = {id(layer): StepDropout(layer, number) for number, layer in enumerate(found) if layer.rate > 0}
    if not substitutes:
        return model, others
    return keras.models.clone_model(model, clone_function=lambda layer: substitutes.get(id(layer), layer)), others


def _draws(layer: keras.layers.Layer) -> bool:
    return any(part._seed_generators for part in layer._flatten_layers())
