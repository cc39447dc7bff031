"""BMP files with a palette, 16 bits or masks have Pillow's pixels, in Python and in a graph."""

import numpy as np
import pytest
import tensorflow as tf

from frostline.data import images

from tests.support.odd_pictures import COLOURS, TRANSLUCENT, bmp, by_pillow, decoded, direct_bmp, encoded, in_a_graph


@pytest.mark.parametrize(("bits", "colours"), [(1, None), (4, None), (4, 5), (8, None), (8, 100)])
@pytest.mark.parametrize("size", [(13, 7), (16, 8), (13, -7), (1, 1)])
def test_a_bmp_with_a_palette_has_its_colours(bits, colours, size):
    data, right = bmp(bits, *size, colours)
    np.testing.assert_array_equal(decoded(data), right)
    np.testing.assert_array_equal(by_pillow(data), right)


def test_a_bmp_of_os2_has_its_colours():
    data, right = bmp(8, 13, 7, os2=True)
    np.testing.assert_array_equal(decoded(data), right)


@pytest.mark.parametrize(("bits", "masks"), [
    (16, None), (16, (0x7C00, 0x3E0, 0x1F)), (16, (0xF800, 0x7E0, 0x1F)), (24, None), (32, None),
    (32, (0xFF0000, 0xFF00, 0xFF)), (32, (0xFF000000, 0xFF0000, 0xFF00)),
])  # fmt: skip
@pytest.mark.parametrize("size", [(13, 7), (16, 8), (13, -7), (1, 1)])
def test_a_bmp_of_direct_colours_has_them(bits, masks, size):
    data, right = direct_bmp(bits, *size, masks)
    np.testing.assert_array_equal(decoded(data), right)
    np.testing.assert_array_equal(by_pillow(data), right)


@pytest.mark.parametrize("masks", [(0x3FF00000, 0xFFC00, 0x3FF), (0xFF, 0xFF00, 0xFF0000)])
def test_masks_that_pillow_does_not_know_are_followed(masks):
    data, right = direct_bmp(32, 13, 7, masks)
    np.testing.assert_array_equal(decoded(data), right)


def test_a_bmp_of_os2_with_24_bits_has_its_colours():
    data, right = direct_bmp(24, 13, 7, os2=True)
    np.testing.assert_array_equal(decoded(data), right)
    np.testing.assert_array_equal(by_pillow(data), right)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_a_bmp_of_pillow_has_pillows_pixels(mode):
    data = encoded((TRANSLUCENT if mode == "RGBA" else COLOURS).convert(mode), "BMP")
    np.testing.assert_array_equal(decoded(data), by_pillow(data))


@pytest.mark.parametrize("change", [
    {18: b"\0\0\0\0"}, {18: b"\xff\xff\xff\x7f"}, {22: b"\0\0\0\x80"}, {10: b"\xff\xff\xff\xff"}, {30: b"\1\0\0\0"},
    {22: b"\0\1\0\0"},
])  # fmt: skip
def test_a_bmp_that_lies_is_refused_as_other_damaged_files_are(change):
    data = bytearray(bmp(8, 13, 7)[0])
    for place, value in change.items():
        data[place : place + len(value)] = value
    for decode in (images.decode, in_a_graph):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(tf.constant(bytes(data)))


def test_an_empty_mask_is_refused():
    data = bytearray(direct_bmp(16, 13, 7, (0xF800, 0x7E0, 0x1F))[0])
    data[58:62] = bytes(4)
    for decode in (images.decode, in_a_graph):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(tf.constant(bytes(data)))


def test_the_reason_for_refusing_a_bmp_is_short():
    data = bytearray(bmp(8, 13, 7)[0])
    data[30] = 1
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        images.decode(tf.constant(bytes(data)))
    assert caught.value.message == "a run-length encoded BMP cannot be read; save it as PNG"
