"""From encoded bytes to the model's input, defined once, in TensorFlow operations.

Preprocessing, training, evaluation and serving all call this module. The resized image is rounded to uint8, so what
preprocessing stores is exactly what serving computes from the original bytes.
"""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

from frostline.data import bitmaps, containers, dimensions, gifs

_AT_ONCE = 10  # small images
_TOO_MANY = f"it has more than {dimensions.MOST_PIXELS:,} pixels; make it smaller"


def decode(data: Any) -> Any:
    """Decode one JPEG, PNG, GIF, BMP or WebP image, of an animation the first frame, the way up that EXIF says.

    Args:
        data: scalar string tensor, the encoded bytes.

    Returns:
        [height, width, 3] uint8; greyscale is repeated over the channels, alpha is dropped, 16 bits are cut to the
        upper 8, palettes are applied.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are not such an image, or it has more pixels than are decoded.
    """
    fits = dimensions.at_most(dimensions.of(data), dimensions.MOST_PIXELS)
    return _decode(containers.checked(data, fits, _TOO_MANY))


def _decode(data: Any) -> Any:
    return _upright(tf.cond(containers.is_jpeg(data), lambda: _plain(data), lambda: _rarer(data)), data)


def uses_a_sixteenth(data: bytes) -> bool:
    """Whether an image is a PNG of 16 bits with no value above 4095, such as the 12 bits of a camera or scanner.

    Args:
        data: the encoded bytes of an image that can be decoded.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[24:25] != b"\x10":
        return False
    return bool(tf.reduce_max(tf.io.decode_png(data, channels=3, dtype=tf.uint16)) < 2**12)


def _plain(data: Any) -> Any:
    return tf.io.decode_image(data, channels=3, dtype=tf.uint8, expand_animations=False)


@containers.apart
def _rarer(data: Any) -> Any:
    """Decode what is no JPEG. JPEG comes first, with as few operations as possible: most pictures are JPEGs."""

    return tf.cond(
        containers.is_webp(data),
        lambda: _webp(data),
        lambda: tf.cond(
            containers.is_gif(data),
            lambda: _plain(gifs.first_frame(data)[0]),
            lambda: tf.cond(bitmaps.is_special(data), lambda: bitmaps.decode(data), lambda: _plain(data)),
        ),
    )


def _webp(data: Any) -> Any:
    """Decode WebP with or without alpha; TensorFlow 2.21 wants their number of channels, or 0.

    TensorFlow must never see an animation: with 0 channels it writes behind the end of its buffer for one without
    alpha, and the process ends ("free(): invalid next size").
    """

    def still(file: Any) -> Any:
        return tf.io.decode_image(file, channels=0, dtype=tf.uint8, expand_animations=False)[:, :, :3]

    def animation() -> Any:
        file, box = containers.first_frame(data)
        left, top, width, height, whole_width, whole_height = tf.unstack(tf.cast(box, tf.int32))
        fits, message = (left + width <= whole_width) & (top + height <= whole_height), "the first frame does not fit"
        frame = still(containers.checked(file, fits, message))
        same = tf.reduce_all(tf.shape(frame)[:2] == tf.stack([height, width]))
        frame = containers.checked(frame, same, message)
        return tf.image.pad_to_bounding_box(frame, top, left, whole_height, whole_width)

    return tf.cond(containers.is_animated(data), animation, lambda: still(data))


def _upright(image: Any, data: Any) -> Any:
    """An image the way up that the EXIF of its file says, if it has any."""
    image = tf.cond(containers.mentions_exif(data), lambda: _turned(image, data), lambda: image)
    return tf.ensure_shape(image, [None, None, 3])


def _turned(image: Any, data: Any) -> Any:
    """Turn an image the way that the EXIF orientation of its file says (EXIF 2.3, 4.6.4, tag 274)."""
    value = containers.orientation(data)
    turned = tf.transpose(image, tf.where(value >= 5, [1, 0, 2], [0, 1, 2]))
    upside_down = tf.reduce_any(value == tf.constant([3, 4, 7, 8], tf.int64))
    mirrored = tf.reduce_any(value == tf.constant([2, 3, 6, 7], tf.int64))
    return tf.reverse(turned, tf.boolean_mask([0, 1], tf.stack([upside_down, mirrored])))


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


@functools.cache
def traced(size: int, *, usual: bool) -> tuple[Any, Any]:
    """Two graphs for many images: whether decoding one takes so much memory that it is done alone, and `from_bytes`.

    A photo takes some 5 ms instead of 12, and threads do not wait for each other. Errors are longer than otherwise.

    Args:
        size: height and width of the result, in pixels.
        usual: for files that `is_usual` says so of: traced in a tenth of the time.

    Returns:
        Functions of a scalar string: to scalar bool, and to [size, size, 3] uint8.
    """
    dimensions_of = dimensions.of_usual if usual else dimensions.of

    def is_large(data: Any) -> Any:
        return ~dimensions.at_most(dimensions_of(data), dimensions.LARGE)

    def decoded(data: Any) -> Any:
        with tf.device("CPU:0"):
            fits = dimensions.at_most(dimensions_of(data), dimensions.MOST_PIXELS)
            data = containers.checked(data, fits, _TOO_MANY)
            return resize(_upright(_plain(data), data) if usual else _decode(data), size)

    scalar = [tf.TensorSpec([], tf.string)]
    large, decode = (tf.function(one, autograph=False, input_signature=scalar) for one in (is_large, decoded))
    return large, decode


def is_usual(data: bytes) -> bool:
    """Whether a file starts as a JPEG or a PNG, which need no decoder of ours."""
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))


def batch(files: Any, size: int) -> Any:
    """Decode and resize images, as a server gets them: [n] string to [n, size, size, 3] uint8.

    Several are decoded at once, unless one of them is large.

    Raises:
        tf.errors.InvalidArgumentError: one of them is no image, or has more pixels than are decoded.
    """
    sizes = tf.map_fn(dimensions.of, files, fn_output_signature=tf.TensorSpec([2], tf.int64))
    files = containers.checked(files, tf.reduce_all(dimensions.at_most(sizes, dimensions.MOST_PIXELS)), _TOO_MANY)

    def decoded(at_once: int) -> Any:
        spec = tf.TensorSpec([size, size, 3], tf.uint8)
        return tf.map_fn(
            lambda file: resize(_decode(file), size), files, parallel_iterations=at_once, fn_output_signature=spec
        )

    small = tf.reduce_all(dimensions.at_most(sizes, dimensions.LARGE))
    return tf.cond(small, lambda: decoded(_AT_ONCE), lambda: decoded(1))
