"""Bytes inside image files, in TensorFlow operations: numbers, chunks of a container, EXIF orientation, WebP frames.

Offsets and lengths in a file may be wrong or hostile: nothing here fails or reads outside the bytes, and no walk takes
more than a fixed number of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

Header = Any  # [16] int64, the bytes at a position, zeros after the end
Found = tuple[
    Any, Any, Any, Any
]  # whether this is the chunk, where its payload is, its length, where the next chunk is

_HEADER = 16
_MOST_CHUNKS = 4096
_STOP = -1  # instead of a position
_EXIF = b"Exif\0\0"
_TAG, _SHORT, _LONG = 0x0112, 3, 4  # TIFF 6.0, sections 2 and 8
_CHARACTERS = [bytes([number]) for number in range(256)]


def apart(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of one scalar string that stays one operation in a graph.

    Otherwise its operations become part of every graph that calls it, and a branch that is not taken still costs time
    for each of them: 0.2 ms per picture instead of 0.1 ms in all, at 128 px.
    """
    spec, attributes = [tf.TensorSpec([], tf.string)], {"_noinline": True}
    wrapped = tf.function(function, input_signature=spec, autograph=False, experimental_attributes=attributes)

    def call(data: Any) -> Any:  # run from Python, errors are shorter without a graph
        return function(data) if tf.executing_eagerly() else wrapped(data)

    return call


def checked(data: Any, condition: Any, message: str) -> Any:
    """The bytes of a file, for operations that may only run if a scalar bool is true.

    Raises:
        tf.errors.InvalidArgumentError: it is false.
    """
    if not tf.executing_eagerly():
        with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
            return tf.identity(data)
    if not condition:
        raise tf.errors.InvalidArgumentError(None, None, message)
    return data


def take(data: Any, at: Any, length: Any) -> Any:
    """The bytes at a position, fewer than `length` at the end of the data: scalar string."""
    if not isinstance(length, int):
        length = tf.cast(tf.clip_by_value(tf.cast(length, tf.int64), 0, 2**31 - 1), tf.int32)
    if isinstance(at, int):
        return tf.strings.substr(data, at and tf.minimum(at, tf.strings.length(data)), length)
    start = tf.clip_by_value(at, 0, _length(data))
    return tf.strings.substr(data, tf.cast(start, tf.int32), length)


def _length(data: Any) -> Any:
    return tf.cast(tf.strings.length(data), tf.int64)


def numbers(data: Any, at: Any, length: int) -> Any:
    """The bytes at a position as numbers, zeros after the end: [length] int64."""
    padded = tf.io.decode_raw(take(data, at, length), tf.uint8, fixed_length=length)
    return tf.ensure_shape(tf.cast(padded, tf.int64), [length])


def fields(values: Any, *places: tuple[int, int], big: Sequence[int] = ()) -> list[Any]:
    """Unsigned integers of a few bytes: all of them take five operations in a graph.

    Args:
        values: [n] int64, bytes.
        places: where each begins and ends.
        big: the positions in `places` of those whose highest byte is the first; of the others it is the last.

    Returns:
        A scalar int64 for each place.
    """
    weights = np.zeros((len(places), values.shape[0]), np.int64)
    for row, (start, end) in enumerate(places):
        powers = 256 ** np.arange(end - start)
        weights[row, start:end] = powers[::-1] if row in big else powers
    return tf.unstack(tf.reduce_sum(values * weights, axis=1), num=len(places))  # type: ignore[no-any-return]


def where(condition: Any, one: Any, other: Any) -> Any:
    """`tf.where` of integers, Python's or int64."""
    return tf.where(condition, _integer(one), _integer(other))


def _integer(value: Any) -> Any:
    return tf.constant(value, tf.int64) if isinstance(value, int) else value


def _word(name: bytes) -> int:
    """The number that `fields` makes of these bytes."""
    return int.from_bytes(name, "little")


def _jpeg(header: Header, at: Any) -> Found:
    """The first APP1 segment with EXIF, before the picture's data (JPEG, ISO 10918-1, B.1; EXIF 2.3, 4.5.4)."""
    first, marker, length, name = fields(header, (0, 1), (1, 2), (2, 4), (4, 10), big=[2])
    is_marker, fill = first == 0xFF, marker == 0xFF
    alone = (marker == 0x01) | ((marker >= 0xD0) & (marker <= 0xD8))
    last = (marker == 0xDA) | (marker == 0xD9) | ((length < 2) & ~alone & ~fill)
    following = tf.where(fill, at + 1, tf.where(alone, at + 2, at + 2 + length))
    found = is_marker & (marker == 0xE1) & (name == _word(_EXIF))
    return found, at + 4, length - 2, where(is_marker & ~last, following, _STOP)


def _png(header: Header, at: Any) -> Found:
    length, name = fields(header, (0, 4), (4, 8), big=[0])
    return name == _word(b"eXIf"), at + 8, length, at + 12 + length


def _webp(wanted: bytes) -> Callable[[Header, Any], Found]:
    def chunk(header: Header, at: Any) -> Found:
        name, length = fields(header, (0, 4), (4, 8))
        return name == _word(wanted), at + 8, length, at + 8 + length + length % 2

    return chunk


def _payload(data: Any, start: int, chunk: Callable[[Header, Any], Found]) -> Any:
    """The payload of the first chunk that `chunk` finds, empty if there is none: scalar string."""
    size = _length(data)

    def step(at: Any, _place: Any, _length: Any) -> tuple[Any, Any, Any]:
        found, place, length, following = chunk(numbers(data, at, _HEADER), at)
        return where(found, _STOP, following), tf.where(found, place, size), where(found, length, 0)

    _, place, length = tf.while_loop(
        lambda at, _place, _length: (at >= 0) & (at < size),
        step,
        (tf.constant(start, tf.int64), size, tf.constant(0, tf.int64)),
        maximum_iterations=_MOST_CHUNKS,
    )
    return take(data, place, length)


def mentions_exif(data: Any) -> Any:
    """Whether the name of EXIF is anywhere in a JPEG, PNG or WebP file: scalar bool, false for any other file.

    Most files have no EXIF, and this finds it out at the speed of memory, before any chunk is read.
    """
    name = tf.where(is_jpeg(data), _EXIF, tf.where(is_png(data), b"eXIf", tf.where(is_webp(data), b"EXIF", b"")))
    parts = tf.raw_ops.StringSplitV2(input=tf.reshape(data, [1]), sep=name, maxsplit=1).values
    return (tf.size(parts) > 1) & (name != b"")


def _from_tiff(exif: Any) -> Any:
    """The orientation in the first directory of EXIF, a TIFF file of either byte order; thumbnails have the second."""
    named = take(exif, 0, 6) == tf.constant(_EXIF)
    tiff = tf.cond(named, lambda: take(exif, 6, tf.strings.length(exif)), lambda: tf.identity(exif))
    order, first_big, first_little = fields(numbers(tiff, 0, 8), (0, 4), (4, 8), (4, 8), big=[1])
    big, little = order == _word(b"MM\0*"), order == _word(b"II*\0")
    first = tf.where(big, first_big, first_little)
    length = 12 * tf.where(big, *fields(numbers(tiff, first, 2), (0, 2), (0, 2), big=[0]))
    raw = tf.cast(tf.io.decode_raw(take(tiff, first + 2, length), tf.uint8), tf.int64)
    entries = tf.reshape(raw[: tf.size(raw) // 12 * 12], [-1, 12])
    pairs = tf.where(big, 256 * entries[:, :-1] + entries[:, 1:], entries[:, :-1] + 256 * entries[:, 1:])
    tag, kind, high, low = (pairs[:, place] for place in (0, 2, 8, 10))
    value = tf.where(big & (kind == _LONG), low, high)
    chosen = value[(tag == _TAG) & ((kind == _SHORT) | (kind == _LONG))]
    found = tf.concat([chosen, tf.constant([1], tf.int64)], 0)[0]
    return where((big | little) & (found >= 1) & (found <= 8), found, 1)


@apart
def orientation(data: Any) -> Any:
    """The EXIF orientation of a JPEG, PNG or WebP file: scalar int64, 1 to 8, and 1 if there is none that is valid.

    Args:
        data: scalar string.
    """
    exif = tf.cond(
        is_jpeg(data),
        lambda: _payload(data, 2, _jpeg),
        lambda: tf.cond(is_png(data), lambda: _payload(data, 8, _png), lambda: _payload(data, 12, _webp(b"EXIF"))),
    )
    return _from_tiff(exif)


def is_jpeg(data: Any) -> Any:
    """Whether these bytes start as a JPEG file: scalar bool."""
    return take(data, 0, 3) == tf.constant(b"\xff\xd8\xff")


def is_gif(data: Any) -> Any:
    """Whether these bytes start as a GIF file: scalar bool."""
    return (take(data, 0, 4) == tf.constant(b"GIF8")) & (take(data, 5, 1) == tf.constant(b"a"))


def is_png(data: Any) -> Any:
    """Whether these bytes start as a PNG file: scalar bool."""
    return take(data, 0, 8) == tf.constant(b"\x89PNG\r\n\x1a\n")


def is_webp(data: Any) -> Any:
    """Whether these bytes start as a WebP file: scalar bool."""
    return (take(data, 0, 4) == tf.constant(b"RIFF")) & (take(data, 8, 4) == tf.constant(b"WEBP"))


def is_animated(data: Any) -> Any:
    """Whether a WebP file is an animation: scalar bool."""
    name, flags = fields(numbers(data, 12, 9), (0, 4), (8, 9))
    return (name == _word(b"VP8X")) & (flags // 2 % 2 == 1)


def first_frame(data: Any) -> tuple[Any, Any]:
    """The first frame of an animated WebP file.

    Source of the layout: "WebP Container Specification", Google, sections "Extended File Format" and "Animation".

    Returns:
        (a WebP file with that frame alone, [6] int64: its left and top, its width and height, and those of the whole).
    """
    frame = _payload(data, 12, _webp(b"ANMF"))
    box = fields(numbers(frame, 0, 12), (0, 3), (3, 6), (6, 9), (9, 12)) + fields(numbers(data, 24, 6), (0, 3), (3, 6))
    picture = take(frame, 16, tf.strings.length(frame))
    extended = tf.strings.join([b"VP8X\x0a\0\0\0\x10\0\0\0", take(frame, 6, 6), picture])
    size = tf.cast(tf.strings.length(extended) + 4, tf.int64)
    size_bytes = tf.gather(tf.constant(_CHARACTERS), [size // 256**place % 256 for place in range(4)])
    still = tf.strings.join([b"RIFF", tf.strings.reduce_join(size_bytes), b"WEBP", extended])
    return still, tf.stack(box) * [2, 2, 1, 1, 1, 1] + [0, 0, 1, 1, 1, 1]
