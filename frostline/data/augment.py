"""Random changes to a training image: flip, crop and colour, as a pure function of (seed, view, image).

All random numbers for an image come from one stateless stream, whose seed is made from these three. So the order of
images and their batch do not matter, and a feature cache can say which variants it holds.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from frostline.data.config import AugmentConfig

VERSION = 1  # of the algorithm; raise it when the same random numbers give other pixels
_DRAWS = 7  # always all of them, so that switching one change off leaves the others as they were
_GENERATOR = "philox"  # named, because the default depends on the device
_LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in a grey level: ITU-R BT.601, as in Pillow


def apply(image: Any, key: Any, *, view: Any, seed: int, config: AugmentConfig) -> Any:
    """Make one variant of an image, in TensorFlow operations.

    Args:
        image: [size, size, 3] uint8, with a static shape.
        key: int64 scalar, the example's key.
        view: int64 scalar, the number of the variant.
        seed: seed of the run.
        config: which changes, and how large they are.

    Returns:
        [size, size, 3] uint8; the image itself if the configuration changes nothing.
    """
    if not config.active:
        return image
    stream = tf.constant([seed, 0], tf.int64)
    for part in (view, key):
        stream = tf.random.experimental.stateless_fold_in(stream, part, alg=_GENERATOR)
    draws = tf.random.stateless_uniform([_DRAWS], stream, alg=_GENERATOR)  # each in [0, 1)
    if config.flip:
        image = tf.where(draws[0] < 0.5, tf.reverse(image, [1]), image)
    pixels = tf.cast(image, tf.float32)
    if config.crop:
        pixels = _cropped(pixels, config.crop, draws[1:4])
    if config.colour:
        pixels = _recoloured(pixels, 1.0 + config.colour * (2.0 * draws[4:7] - 1.0))
    return tf.cast(tf.round(tf.clip_by_value(pixels, 0.0, 255.0)), tf.uint8)


def description(config: AugmentConfig, seed: int) -> dict[str, float]:
    """Everything but the image and the view that a variant depends on, for a content address; {} if inactive."""
    if not config.active:
        return {}
    return {"version": VERSION, "seed": seed, **config.model_dump(include={"flip", "crop", "colour"})}


def _cropped(pixels: Any, fraction: float, draws: Any) -> Any:
    """Crop to a square window of whole pixels, with uniform size and position, and resize it back bilinearly.

    Args:
        pixels: [size, size, 3] float32.
        fraction: largest fraction of the side that is cut away.
        draws: [3] float32 in [0, 1), for the window's side, its top and its left edge.

    Returns:
        [size, size, 3] float32.
    """
    size = int(pixels.shape[0])
    smallest = max(1, size - int(size * fraction))
    side = smallest + _whole(draws[0], size - smallest + 1)
    top, left = _whole(draws[1], size - side + 1), _whole(draws[2], size - side + 1)
    return tf.image.resize(pixels[top : top + side, left : left + side], [size, size])


def _whole(draw: Any, count: Any) -> Any:
    """Map a random number in [0, 1) to an integer in 0..count - 1."""
    return tf.cast(draw * tf.cast(count, tf.float32), tf.int32)


def _recoloured(pixels: Any, factors: Any) -> Any:
    """Multiply brightness, contrast and saturation by one factor each, as Pillow's ImageEnhance defines them.

    Args:
        pixels: [size, size, 3] float32, 0..255.
        factors: [3] float32: brightness, contrast, saturation.

    Returns:
        [size, size, 3] float32, neither rounded nor clipped.
    """
    pixels = pixels * factors[0]
    levels = tf.cast(tf.round(_grey(pixels)), tf.int64)  # the sum of integers does not depend on the order
    mean = tf.cast(tf.reduce_sum(levels) / tf.size(levels, tf.int64), tf.float32)
    pixels = mean + (pixels - mean) * factors[1]
    grey = _grey(pixels)
    return grey + (pixels - grey) * factors[2]


def _grey(pixels: Any) -> Any:
    return tf.reduce_sum(pixels * tf.constant(_LUMA), axis=-1, keepdims=True)
