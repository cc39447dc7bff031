"""Random changes to a training image: mirrored, cropped, recoloured, as a pure function of (seed, view, image).

All draws of an image come from one stateless stream whose seed is folded from these three, so neither the order of
images nor the batch they are in matters, and a feature cache can name what it holds.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from frostline.artifacts import Json
from frostline.data.config import AugmentConfig

VERSION = 1  # of the algorithm; to be raised when the same draws give other pixels
_DRAWS = 7  # all are drawn always, so that switching one change off leaves the others as they were
_GENERATOR = "philox"  # named, because the default depends on the device
_LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in a grey level: ITU-R BT.601, as Pillow has them


def apply(image: Any, key: Any, *, view: Any, seed: int, config: AugmentConfig) -> Any:
    """One variant of an image, in TensorFlow operations.

    Args:
        image: [size, size, 3] uint8, of a static shape.
        key: int64 scalar, of the example.
        view: int64 scalar, which variant.
        seed: of the run.
        config: which changes, and how large.

    Returns:
        [size, size, 3] uint8; the image itself where the configuration changes nothing.
    """
    if not config.active:
        return image
    stream = tf.constant([seed, 0], tf.int64)
    for part in (view, key):
        stream = tf.random.experimental.stateless_fold_in(stream, part, alg=_GENERATOR)
    draws = tf.random.stateless_uniform([_DRAWS], stream, alg=_GENERATOR)  # each in 0..1, without 1
    if config.flip:
        image = tf.where(draws[0] < 0.5, tf.reverse(image, [1]), image)
    pixels = tf.cast(image, tf.float32)
    if config.crop:
        pixels = _cropped(pixels, config.crop, draws[1:4])
    if config.colour:
        pixels = _recoloured(pixels, 1.0 + config.colour * (2.0 * draws[4:7] - 1.0))
    return tf.cast(tf.round(tf.clip_by_value(pixels, 0.0, 255.0)), tf.uint8)


def description(config: AugmentConfig, seed: int) -> Json:
    """What a variant depends on besides the image and the view's number, for a content address; {} when inactive."""
    if not config.active:
        return {}
    return {"version": VERSION, "seed": seed, **config.model_dump(include={"flip", "crop", "colour"})}


def _cropped(pixels: Any, share: float, draws: Any) -> Any:
    """A square window of whole pixels, uniform in size and place, at most `share` smaller than the image.

    Args:
        pixels: [size, size, 3] float32.
        share: of the side that may be cut away.
        draws: [3] float32 in 0..1: the window's side, its top, its left edge.

    Returns:
        The window scaled up to [size, size, 3] float32, bilinearly.
    """
    size = int(pixels.shape[0])
    smallest = max(1, size - int(size * share))
    side = smallest + _whole(draws[0], size - smallest + 1)
    top, left = _whole(draws[1], size - side + 1), _whole(draws[2], size - side + 1)
    return tf.image.resize(pixels[top : top + side, left : left + side], [size, size])


def _whole(draw: Any, count: Any) -> Any:
    """A draw in 0..1 as a whole number in 0..count - 1."""
    return tf.cast(draw * tf.cast(count, tf.float32), tf.int32)


def _recoloured(pixels: Any, factors: Any) -> Any:
    """Brightness, contrast and saturation times a factor each, as Pillow's ImageEnhance defines them.

    Args:
        pixels: [size, size, 3] float32, 0..255.
        factors: [3] float32.

    Returns:
        [size, size, 3] float32, neither rounded nor clipped.
    """
    pixels = pixels * factors[0]
    levels = tf.cast(tf.round(_grey(pixels)), tf.int64)  # a sum of integers is the same in any order
    mean = tf.cast(tf.reduce_sum(levels) / tf.size(levels, tf.int64), tf.float32)
    pixels = mean + (pixels - mean) * factors[1]
    grey = _grey(pixels)
    return grey + (pixels - grey) * factors[2]


def _grey(pixels: Any) -> Any:
    return tf.reduce_sum(pixels * tf.constant(_LUMA), axis=-1, keepdims=True)
