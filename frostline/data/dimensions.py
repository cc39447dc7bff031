"""Height and width from the header of an image file, in TensorFlow operations, before anything of it is decoded.

A few hundred bytes can claim a picture of gigabytes. Sources of the layouts: ISO 15948 (PNG), 11.2.2; "Graphics
Interchange Format, Version 89a", CompuServe, section 20; RFC 9649 (WebP), sections 2.5 to 2.7.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from frostline.data import bitmaps, gifs
from frostline.data.containers import apart, fields, is_gif, is_jpeg, is_png, is_webp, numbers

# Decoded, 200 MB, or 600 MB while a progressive JPEG is read. A server has 1 GiB for that and itself.
MOST_PIXELS = 2**26
LARGE = 2**22  # pixels; images above are decoded one at a time


def of(data: Any) -> Any:
    """What the header of a JPEG, PNG, GIF, BMP or WebP file says: [2] int64, height and width, 0 for any other file.

    Args:
        data: scalar string. Of a GIF the size is that of its first frame, of an animated WebP that of the whole.

    Raises:
        tf.errors.InvalidArgumentError: the bytes start as a JPEG file and have no valid header.
    """
    return tf.cond(is_jpeg(data), lambda: tf.io.extract_jpeg_shape(data, tf.int64)[:2], lambda: _rarer(data))


def of_usual(data: Any) -> Any:
    """As `of`, for JPEG and PNG files alone: a small graph."""
    return tf.cond(is_jpeg(data), lambda: tf.io.extract_jpeg_shape(data, tf.int64)[:2], lambda: _png(data))


def at_most(size: Any, most: int) -> Any:
    """Whether pictures have at most so many pixels: [..., 2] int64 to [...] bool. A product could overflow."""
    height, width = size[..., 0], size[..., 1]
    return (width <= most) & (height <= most // tf.maximum(width, 1))


@apart
def _rarer(data: Any) -> Any:
    return tf.case(
        [
            (is_png(data), lambda: _png(data)),
            (is_gif(data), lambda: gifs.first_frame(data)[1]),
            (is_webp(data), lambda: _webp(data)),
        ],
        default=lambda: bitmaps.dimensions(data),
    )


def _png(data: Any) -> Any:
    return tf.stack(fields(numbers(data, 16, 8), (4, 8), (0, 4), big=[0, 1]))


def _webp(data: Any) -> Any:
    """Of the first chunk: `VP8 `, a frame of video; `VP8L`, without loss; or `VP8X`, the canvas of all frames."""
    kind, packed, *rest = fields(numbers(data, 12, 18), (3, 4), (9, 13), (16, 18), (14, 16), (15, 18), (12, 15))
    lossy, canvas = tf.stack(rest[:2]) % 2**14, tf.stack(rest[2:]) + 1
    lossless = tf.stack([packed // 2**14, packed]) % 2**14 + 1
    return tf.where(kind == ord("X"), canvas, tf.where(kind == ord("L"), lossless, lossy))
