"""EXIF orientation is found wherever it may be, and no bytes make the search fail or long."""

import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from frostline.data import containers

from tests.support.odd_pictures import (
    COLOURS,
    SMOOTH,
    by_pillow,
    decoded,
    encoded,
    in_a_graph,
    jpeg_with,
    segment,
    tiff,
)  # fmt: skip

PLAIN = by_pillow(encoded(SMOOTH, "JPEG", quality=95))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_a_jpeg_is_turned_as_its_exif_says(value, order):
    data = jpeg_with(segment(b"Exif\0\0" + tiff(value, order, before=[0x0100, 0x0101])))
    np.testing.assert_allclose(decoded(data).astype(int), by_pillow(data), atol=3)
    assert decoded(data).shape == ((30, 21, 3) if value >= 5 else (21, 30, 3))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("value", range(1, 9))
def test_png_and_webp_are_turned_too(value, kind):
    exif = Image.Exif()
    exif[0x0112] = value
    data = encoded(COLOURS, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(decoded(data), by_pillow(data))


@pytest.mark.parametrize("segments", [
    [segment(b"JFIF\0" + bytes(9), 0xE0), segment(b"a comment, Exif\0\0", 0xFE), segment(b"Exif\0\0" + tiff(6))],
    [segment(b"http://ns.adobe.com/xap/1.0/\0<x/>"), segment(b"Exif\0\0" + tiff(6))],
    [segment(b"Exif\0\0" + tiff(6)), segment(b"Exif\0\0" + tiff(3))],
    [segment(b"Exif\0\0" + tiff(6, ">", kind=4))],
    [b"\xff\xff\xff" + segment(b"Exif\0\0" + tiff(6))],
    [segment(b"Exif\0\0" + tiff(6) + jpeg_with(segment(b"Exif\0\0" + tiff(3))))],
    [segment(b"x" * 65000, 0xE2), segment(b"x" * 65000, 0xE2), segment(b"Exif\0\0" + tiff(6))],
])  # fmt: skip
def test_exif_is_found_wherever_it_may_be(segments):
    np.testing.assert_allclose(decoded(jpeg_with(*segments)).astype(int), np.rot90(PLAIN, -1), atol=3)


@pytest.mark.parametrize("exif", [
    tiff(0), tiff(9), tiff(6)[:10], tiff(6)[:8], tiff(6)[:20], b"", b"II", b"XX*\0" + tiff(6)[4:],
    b"II*\0" + struct.pack("<I", 2**32 - 1), b"II*\0" + struct.pack("<I", 2**31), b"II*\0" + struct.pack("<I", 500),
    tiff(6)[:8] + b"\xff\xff" + bytes(30), tiff(65535), tiff(6, kind=2), tiff(1) + tiff(6),
])  # fmt: skip
def test_exif_that_is_damaged_or_says_nothing_changes_nothing(exif):
    np.testing.assert_allclose(decoded(jpeg_with(segment(b"Exif\0\0" + exif))).astype(int), PLAIN, atol=3)


def test_the_exif_of_a_second_picture_in_the_file_is_not_the_first_ones():
    data = jpeg_with() + jpeg_with(segment(b"Exif\0\0" + tiff(6)))
    np.testing.assert_allclose(decoded(data).astype(int), PLAIN, atol=3)


def test_a_file_of_nothing_but_chunks_takes_few_steps():
    """A walk through all of its 100,000 chunks would take seconds."""
    head, chunk = encoded(COLOURS, "PNG")[:33], struct.pack(">I4sI", 0, b"zzZz", zlib.crc32(b"zzZz"))
    data = head + chunk * 100_000 + struct.pack(">I4sI", 0, b"eXIf", 0) + encoded(COLOURS, "PNG")[33:]
    np.testing.assert_array_equal(in_a_graph(tf.constant(data)).numpy(), np.asarray(COLOURS))


def test_fields_are_read_from_either_end():
    values = tf.range(1, 9, dtype=tf.int64)
    found = containers.fields(values, (0, 1), (0, 4), (0, 4), (2, 8), big=[2])
    assert [int(one) for one in found] == [1, 0x04030201, 0x01020304, 0x080706050403]


@pytest.mark.parametrize(("at", "length", "expected"), [
    (0, 2, b"ab"), (0, 9, b"abcde"), (3, 9, b"de"), (5, 1, b""), (9, 1, b""), (2, 0, b""), (-3, 2, b"ab"), (1, -1, b""),
])  # fmt: skip
def test_bytes_are_taken_where_there_are_any(at, length, expected):
    numbers = [tf.constant(at, tf.int64), tf.constant(length, tf.int64)]
    assert containers.take(tf.constant(b"abcde"), *numbers).numpy() == expected
    if min(at, length) >= 0:
        assert containers.take(tf.constant(b"abcde"), at, length).numpy() == expected
