"""From encoded bytes to the model's input, defined once, in TensorFlow operations.

Preprocessing, training, evaluation and serving all call this module. The resized image is rounded to uint8, so what
preprocessing stores (as PNG, which is lossless) is exactly what serving computes from the original bytes.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def decode(data: Any) -> Any:
    """Decode one JPEG, PNG, GIF (its first frame), BMP or WebP image.

    Args:
        data: scalar string tensor, the encoded bytes.

    Returns:
        [height, width, 3] uint8; greyscale is repeated over the channels, alpha is dropped.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are not such an image.
    """
    image = tf.io.decode_image(data, channels=3, dtype=tf.uint8, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])


def resize(image: Any, size: int) -> Any:
    """Resize to a square with antialiased bilinear filtering; the aspect ratio is not kept.

    Args:
        image: [height, width, 3] uint8.
        size: height and width of the result, in pixels.

    Returns:
        [size, size, 3] uint8, rounded to nearest.
    """
    resized = tf.image.resize(image, [size, size], method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)


def from_bytes(data: Any, size: int) -> Any:
    """Decode and resize one encoded image: scalar string to [size, size, 3] uint8."""
    return resize(decode(data), size)
