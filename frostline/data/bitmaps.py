"""BMP files with a palette, in TensorFlow operations; TensorFlow's own decoder takes their indices for greys.

Source of the format: "Bitmap Storage", Microsoft's Windows GDI documentation; OS/2 headers have 12 bytes.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from frostline.data.containers import number, numbers, require, take, where

_OS2 = 12  # bytes of the header that OS/2 wrote: sizes of 16 bits, and palette entries of three bytes
_MOST_PIXELS = 2**28


def _signed(value: Any) -> Any:
    return tf.where(value >= 2**31, value - 2**32, value)


def has_palette(data: Any) -> Any:
    """Whether these bytes are a BMP file of 1, 4 or 8 bits per pixel: scalar bool."""
    head = numbers(data, 0, 30)
    bits = tf.where(number(head[14:18]) == _OS2, number(head[24:26]), number(head[28:30]))
    return (head[0] == ord("B")) & (head[1] == ord("M")) & ((bits == 1) | (bits == 4) | (bits == 8))


def decode(data: Any) -> Any:
    """Decode a BMP file that `has_palette`: scalar string to [height, width, 3] uint8.

    Raises:
        tf.errors.InvalidArgumentError: its size is wrong, it ends early, or it is run-length encoded.
    """
    head = numbers(data, 0, 54)
    header = number(head[14:18])
    old = header == _OS2
    width = tf.where(old, number(head[18:20]), _signed(number(head[18:22])))
    height = tf.where(old, number(head[20:22]), _signed(number(head[22:26])))
    bits = tf.where(old, number(head[24:26]), number(head[28:30]))
    colours = tf.where(
        old | (number(head[46:50]) == 0), tf.bitwise.left_shift(tf.ones_like(bits), bits), number(head[46:50])
    )
    rows = tf.abs(height)
    require(old | (number(head[30:34]) == 0), "a run-length encoded BMP cannot be read; save it as PNG")
    sized = (width > 0) & (width <= _MOST_PIXELS) & (rows > 0) & (rows <= _MOST_PIXELS // tf.maximum(width, 1))
    require(sized, "the size of this BMP is wrong")
    stride = (width * bits + 31) // 32 * 4
    raw = tf.io.decode_raw(take(data, number(head[10:14]), stride * rows), tf.uint8)
    require(tf.cast(tf.size(raw), tf.int64) == stride * rows, "this BMP ends before its last row")
    indices = _unpacked(tf.reshape(raw, [rows, stride]), bits)[:, :width]
    palette = _palette(data, 14 + header, where(old, 3, 4), tf.minimum(colours, 256))
    image = tf.gather(palette, tf.cast(indices, tf.int32))
    return tf.cond(height > 0, lambda: tf.reverse(image, [0]), lambda: image)


def _unpacked(raw: Any, bits: Any) -> Any:
    """The indices in each row of bytes, the highest bits first: [rows, bytes] uint8 to [rows, bytes x 8 / bits]."""
    per_byte = 8 // bits
    shifts = 8 - bits * (tf.range(per_byte) + 1)
    values = tf.bitwise.right_shift(raw[:, :, None], tf.cast(shifts, tf.uint8))
    mask = tf.cast(2**bits - 1, tf.uint8)
    return tf.reshape(tf.bitwise.bitwise_and(values, mask), [tf.shape(raw)[0], -1])


def _palette(data: Any, at: Any, entry: Any, colours: Any) -> Any:
    """The colours by index, black after the last: [256, 3] uint8."""
    raw = tf.io.decode_raw(take(data, at, entry * colours), tf.uint8)
    count = tf.cast(tf.size(raw), tf.int64) // entry
    entries = tf.reshape(raw[: count * entry], tf.stack([count, entry]))[:, 2::-1]
    return tf.pad(entries, [[0, 256 - count], [0, 0]])
