"""Pictures as people have them: Pillow's pixels are the reference, in Python and in a graph as servers run it."""

import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from frostline.data import images

from tests.support.odd_pictures import (
    COLOURS,
    RANDOM,
    SMOOTH,
    TRANSLUCENT,
    bmp,
    by_pillow,
    decoded,
    encoded,
    in_a_graph,
    jpeg_with,
    segment,
    tiff,
)  # fmt: skip


def test_alpha_of_webp_is_dropped_as_that_of_png():
    for options in ({"lossless": True, "exact": True}, {"quality": 90}):
        data = encoded(TRANSLUCENT, "WEBP", **options)
        np.testing.assert_array_equal(decoded(data), by_pillow(data))
    png = encoded(TRANSLUCENT, "PNG")
    lossless = encoded(TRANSLUCENT, "WEBP", lossless=True, exact=True)
    np.testing.assert_array_equal(decoded(png), decoded(lossless))


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}])
@pytest.mark.parametrize("first", [COLOURS, TRANSLUCENT, SMOOTH])
def test_an_animated_webp_gives_its_first_frame(first, options):
    """TensorFlow's decoder writes behind its buffer for an opaque one, which ends the process."""
    others = [Image.fromarray(RANDOM.integers(0, 256, np.asarray(first).shape, np.uint8)) for _ in range(3)]
    data = encoded(first, "WEBP", save_all=True, append_images=others, **options)
    for _ in range(20):
        in_a_graph(tf.constant(data))
    np.testing.assert_array_equal(decoded(data), by_pillow(data))


def test_an_animated_webp_whose_first_frame_is_missing_is_refused():
    data = encoded(COLOURS, "WEBP", save_all=True, append_images=[SMOOTH], lossless=True)
    for damaged in (data.replace(b"ANMF", b"XXXX"), data[:60], data.replace(b"VP8L", b"VP8M")):
        with pytest.raises(tf.errors.InvalidArgumentError):
            in_a_graph(tf.constant(damaged))


def test_an_animated_gif_gives_its_first_frame():
    data = encoded(COLOURS.convert("P"), "GIF", save_all=True, append_images=[SMOOTH.convert("P")])
    np.testing.assert_array_equal(decoded(data), by_pillow(data))


def png_text_with_wrong_crc():
    data = encoded(COLOURS, "PNG")
    text = struct.pack(">I", 3) + b"tEXta\0b" + b"\1\2\3\4"
    return data[:33] + text + data[33:]


def interlaced_png():
    """Adam7, by hand: Pillow writes none."""
    pixels, passes = np.asarray(COLOURS), []
    for top, left, down, right in (
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1),
    ):  # fmt: skip
        passes += [b"\0" + row.tobytes() for row in pixels[top::down, left::right]]
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 30, 21, 8, 2, 0, 0, 1)), (b"IDAT", zlib.compress(b"".join(passes)))]
    chunks = [struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
              for name, body in [*parts, (b"IEND", b"")]]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(("data", "tolerance"), [
    (encoded(COLOURS.convert("1"), "PNG"), 0),
    (encoded(COLOURS.convert("P"), "PNG"), 0),
    (encoded(TRANSLUCENT.convert("LA"), "PNG"), 0),
    (encoded(COLOURS, "PNG", icc_profile=b"not a profile"), 0),
    (interlaced_png(), 0),
    (encoded(SMOOTH, "JPEG", progressive=True), 3),
    (encoded(SMOOTH, "JPEG", icc_profile=b"x" * 100_000), 3),
    (encoded(SMOOTH, "MPO", save_all=True, append_images=[COLOURS]), 3),
    (encoded(SMOOTH.convert("CMYK"), "JPEG"), 4),
])  # fmt: skip
def test_what_was_right_stays_right(data, tolerance):
    np.testing.assert_allclose(decoded(data).astype(int), by_pillow(data), atol=tolerance)


def test_a_wrong_checksum_in_a_text_chunk_is_no_reason_to_refuse_a_png():
    np.testing.assert_array_equal(decoded(png_text_with_wrong_crc()), np.asarray(COLOURS))


def test_sixteen_bits_are_cut_to_eight_and_a_narrow_range_is_noticed():
    values = np.arange(30 * 21, dtype=np.uint16).reshape(21, 30)
    for factor, narrow in ((6, True), (100, False)):
        data = encoded(Image.fromarray(values * factor), "PNG")
        np.testing.assert_array_equal(decoded(data)[..., 0], values * factor >> 8)
        assert images.uses_a_sixteenth(data) is narrow
    assert not images.uses_a_sixteenth(encoded(Image.fromarray(np.zeros((8, 8), np.uint8)), "PNG"))
    assert not images.uses_a_sixteenth(encoded(SMOOTH, "JPEG"))


@pytest.fixture(scope="module")
def kinds():
    return [
        jpeg_with(segment(b"Exif\0\0" + tiff(6))), bmp(8, 13, 7)[0], bmp(1, 13, -7)[0], encoded(TRANSLUCENT, "WEBP"),
        encoded(COLOURS, "WEBP", save_all=True, append_images=[SMOOTH]), encoded(COLOURS.convert("P"), "GIF"),
        encoded(TRANSLUCENT, "PNG"), encoded(COLOURS, "PNG", exif=tiff(8)),
    ]  # fmt: skip


def test_a_batch_of_every_kind_has_the_pixels_of_each(kinds):
    spec = tf.TensorSpec([16, 16, 3], tf.uint8)
    served = tf.function(
        lambda batch: tf.map_fn(lambda data: images.from_bytes(data, 16), batch, fn_output_signature=spec),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )(tf.constant(kinds))
    stored = tf.stack([images.from_bytes(tf.constant(data), 16) for data in kinds])
    np.testing.assert_array_equal(served.numpy(), stored.numpy())


def test_every_kind_has_the_same_pixels_in_a_graph(kinds):
    assert [images.is_usual(data) for data in kinds] == [True, False, False, False, False, False, True, True]
    for data in kinds:
        for usual in {False, images.is_usual(data)}:
            is_large, decode = images.traced(16, usual=usual)
            assert not is_large(data)
            np.testing.assert_array_equal(decode(data), images.from_bytes(tf.constant(data), 16))


def test_a_file_that_is_cut_is_refused_in_a_graph_too(kinds):
    for data in (kinds[0][:200], kinds[-1][:60], b"no picture"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            images.traced(16, usual=images.is_usual(data))[1](data)
