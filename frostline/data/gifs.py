"""The first frame of a GIF, in TensorFlow operations.

TensorFlow's decoder reads every frame into memory before it gives the first one: a file of 100 kB can take gigabytes.
Source of the layout: "Graphics Interchange Format, Version 89a", CompuServe, sections 15 and 18 to 24.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from frostline.data.containers import checked, take, where

_MOST_STEPS = 4096  # blocks of one length in a row are one step
_EXTENSION, _DESCRIPTOR = 0x21, 0x2C
_BETWEEN, _IN_EXTENSION, _IN_FRAME, _ENDED = range(4)  # blocks


def first_frame(data: Any) -> tuple[Any, Any]:
    """A GIF with the first frame of another, and nothing behind it.

    Args:
        data: scalar string, of a GIF file.

    Returns:
        (scalar string, the file; [2] int64, the frame's height and width).

    Raises:
        tf.errors.InvalidArgumentError: it has no frame, or is cut into too many blocks.
    """
    raw = tf.io.decode_raw(data, tf.uint8)
    size = tf.size(raw, tf.int64)

    padded = tf.pad(raw, [[0, 1]])

    def byte(at: Any) -> Any:  # 0 after the end
        return tf.cast(tf.gather(padded, tf.minimum(at, size)), tf.int64)

    def table(packed: Any) -> Any:  # bytes of a colour table
        return where(packed >= 128, 3 * tf.bitwise.left_shift(tf.constant(2, tf.int64), packed % 8), 0)

    def step(at: Any, mode: Any, frame: Any) -> tuple[Any, Any, Any]:
        length, kind = byte(at), byte(at)
        same = tf.cast(raw[at :: length + 1], tf.int64) == length
        jump = where(length > 0, (length + 1) * _leading(same), 1)
        over = where(mode == _IN_EXTENSION, _BETWEEN, _ENDED)
        is_frame = kind == _DESCRIPTOR
        entered = where(is_frame, at + 11 + table(byte(at + 9)), at + 2)
        inside = where(is_frame, _IN_FRAME, where(kind == _EXTENSION, _IN_EXTENSION, _ENDED))
        between = mode == _BETWEEN
        return (
            where(between, entered, at + jump),
            where(between, inside, where(length > 0, mode, over)),
            where(between & is_frame, at, frame),
        )

    start = 13 + table(byte(tf.constant(10, tf.int64)))
    zero = tf.constant(0, tf.int64)
    at, mode, frame = tf.while_loop(
        lambda at, mode, _: (mode != _ENDED) & (at < size), step, (start, zero, zero), maximum_iterations=_MOST_STEPS
    )
    ended = (mode == _ENDED) | (at >= size)  # a file may end within its first frame
    data = checked(data, (frame > 0) & ended, "this GIF has no first frame, or too many blocks before its end")
    height, width = byte(frame + 7) + 256 * byte(frame + 8), byte(frame + 5) + 256 * byte(frame + 6)
    return tf.strings.join([take(data, 0, at), b";"]), tf.stack([height, width])


def _leading(values: Any) -> Any:
    """How many values are true before the first that is false: [n] bool to scalar int64."""
    return tf.argmin(tf.concat([values, [False]], 0), output_type=tf.int64)
