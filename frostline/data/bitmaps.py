"""BMP files that TensorFlow's own decoder refuses or reads wrongly, in TensorFlow operations.

It takes the indices of a palette for greys, knows no 16 bits, no masks and no headers of OS/2. Source of the format:
"Bitmap Storage", Microsoft's Windows GDI documentation; OS/2 headers have 12 bytes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from frostline.data.containers import checked, fields, numbers, take, where

_OS2 = 12  # bytes of the header that OS/2 wrote: sizes of 16 bits, and palette entries of three bytes
_MASKS = 3  # the kind of compression that is none: masks say which bits are red, green and blue
_RGB555, _RGB888 = (0x7C00, 0x3E0, 0x1F), (0xFF0000, 0xFF00, 0xFF)
_OF_OS2 = (18, 20), (20, 22), (24, 26)  # width, height and bits per pixel
_OF_WINDOWS = (18, 22), (22, 26), (28, 30), (30, 34), (46, 50)  # the same, compression and colours of the palette
_MOST_PIXELS = 2**24  # each takes up to 60 bytes on the way


class _Header(NamedTuple):
    """Scalars of int64; `height` is negative if the first row is the top one."""

    bytes: Any
    width: Any
    height: Any
    bits: Any
    compression: Any
    colours: Any
    pixels_at: Any


def _signed(value: Any) -> Any:
    return tf.where(value >= 2**31, value - 2**32, value)


def _header(data: Any) -> _Header:
    at, size, *sizes = fields(numbers(data, 0, 54), (10, 14), (14, 18), *_OF_OS2, *_OF_WINDOWS)
    os2, windows = tf.stack([*sizes[:3], 0, 0]), tf.stack([*map(_signed, sizes[3:5]), *sizes[5:]])
    return _Header._make([size, *tf.unstack(tf.where(size == _OS2, os2, windows)), at])


def _is_bitmap(data: Any) -> Any:
    return take(data, 0, 2) == tf.constant(b"BM")


def is_special(data: Any) -> Any:
    """Whether these bytes are a BMP file for `decode`: scalar bool."""
    header = _header(data)
    bits = tf.reduce_any(header.bits == tf.constant([1, 4, 8, 16], tf.int64))
    other = (header.bytes == _OS2) | (header.compression == _MASKS)
    return _is_bitmap(data) & (bits | other)


def dimensions(data: Any) -> Any:
    """Height and width that the header of a BMP file says: [2] int64, 0 for any other file."""
    header = _header(data)
    return where(_is_bitmap(data), tf.abs(tf.stack([header.height, header.width])), 0)


def decode(data: Any) -> Any:
    """Decode a BMP file that `is_special`: scalar string to [height, width, 3] uint8.

    Raises:
        tf.errors.InvalidArgumentError: its size is wrong, it ends early, or it is compressed.
    """
    header = _header(data)
    rows, bits = tf.abs(header.height), header.bits
    plain = (header.compression == 0) | ((header.compression == _MASKS) & (bits > 8))
    data = checked(data, plain, "a run-length encoded BMP cannot be read; save it as PNG")
    known = tf.reduce_any(bits == tf.constant([1, 4, 8, 16, 24, 32], tf.int64))
    fits = (header.width <= _MOST_PIXELS) & (rows <= _MOST_PIXELS // tf.maximum(header.width, 1))
    data = checked(data, known & (header.width > 0) & (rows > 0) & fits, "the size of this BMP is wrong or too large")
    stride = (header.width * bits + 31) // 32 * 4
    raw = tf.io.decode_raw(take(data, header.pixels_at, stride * rows), tf.uint8)
    complete = tf.cast(tf.size(raw), tf.int64) == stride * rows
    raw = tf.reshape(checked(raw, complete, "this BMP ends before its last row"), [rows, stride])
    image = tf.cond(bits <= 8, lambda: _by_index(data, header, raw), lambda: _by_mask(data, header, raw))
    return tf.reverse(image, tf.boolean_mask([0], [header.height > 0]))  # the last row is the first in most files


def _by_index(data: Any, header: _Header, raw: Any) -> Any:
    bits = tf.minimum(header.bits, 8)  # both branches are traced
    colours = tf.where(header.colours == 0, tf.bitwise.left_shift(tf.ones_like(bits), bits), header.colours)
    entry = where(header.bytes == _OS2, 3, 4)
    palette = _palette(data, 14 + header.bytes, entry, tf.minimum(colours, 256))
    return tf.gather(palette, tf.cast(_unpacked(raw, bits)[:, : header.width], tf.int32))


def _by_mask(data: Any, header: _Header, raw: Any) -> Any:
    """Pixels of 16, 24 or 32 bits, [rows, stride] uint8 to [rows, width, 3] uint8; a channel is scaled to 0..255."""
    size = header.bits // 8
    used = raw[:, : header.width * size]
    parts = tf.cast(tf.reshape(used, tf.stack([tf.abs(header.height), header.width, size])), tf.int64)
    pixels = tf.reduce_sum(tf.bitwise.left_shift(parts, 8 * tf.range(size)), axis=-1)
    masks = tf.stack(fields(numbers(data, 54, 12), (0, 4), (4, 8), (8, 12)))
    usual = tf.where(header.bits == 16, tf.constant(_RGB555, tf.int64), tf.constant(_RGB888, tf.int64))
    masks = tf.where(header.compression == _MASKS, masks, usual)
    masks = checked(masks, tf.reduce_all(masks > 0), "a mask of this BMP is empty")
    lowest = tf.bitwise.bitwise_and(masks, -masks)
    values = tf.bitwise.bitwise_and(pixels[:, :, None], masks) // lowest
    return tf.cast(values * 255 // (masks // lowest), tf.uint8)


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
