"""The first frame of a GIF is found without the others, whatever is in front of it."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from frostline.data import gifs, images

from tests.support.odd_pictures import COLOURS, SMOOTH, by_pillow, decoded, encoded

OTHER = SMOOTH.resize(COLOURS.size).rotate(180)
STILL = encoded(COLOURS, "GIF")
FRAME = STILL.index(b"\x2c\0\0\0\0")


def first(data):
    file, size = gifs.first_frame(tf.constant(data))
    return file.numpy(), tuple(size.numpy())


def test_frames_behind_the_first_are_gone_and_its_pixels_are_the_same():
    moving = encoded(COLOURS, "GIF", save_all=True, append_images=[OTHER, COLOURS], duration=10, loop=0)
    file, size = first(moving)
    assert size == (21, 30)
    assert len(file) < len(moving) * 2 / 3
    np.testing.assert_array_equal(by_pillow(file), by_pillow(moving))
    np.testing.assert_array_equal(decoded(moving), by_pillow(moving))


def test_a_single_frame_stays_as_it_is():
    assert first(STILL) == (STILL, (21, 30))


@pytest.mark.parametrize("in_front", [
    b"\x21\xfe\x03abc\0", b"\x21\xfe" + (b"\xff" + b"x" * 255) * 20_000 + b"\x07end of\0\0",
    b"\x21\xf9\x04\0\0\0\0\0" * 1000,
])  # fmt: skip
def test_comments_of_any_length_are_passed(in_front):
    data = STILL[:FRAME] + in_front + STILL[FRAME:]
    assert first(data) == (data, (21, 30))
    np.testing.assert_array_equal(decoded(data), by_pillow(STILL))


def test_a_colour_table_of_the_frame_is_no_data():
    table = bytes(range(255, -1, -1)) * 3
    data = STILL[: FRAME + 9] + bytes([STILL[FRAME + 9] | 0x87]) + table + STILL[FRAME + 10 :]
    assert first(data + b"junk") == (data, (21, 30))


def test_a_file_that_ends_within_its_first_frame_is_left_to_the_decoder():
    file, size = first(STILL[:-40])
    assert (file[:-1], size) == (STILL[:-40], (21, 30))


@pytest.mark.parametrize("data", [
    STILL[:FRAME] + b";", STILL[:13], STILL[:6], STILL[:FRAME] + b"\0" + STILL[FRAME:],
    STILL[:FRAME] + b"\x21\xfe" + b"\x01a\x02bc" * 5000 + b"\0" + STILL[FRAME:],
])  # fmt: skip
def test_what_has_no_frame_or_is_cut_into_too_many_pieces_is_refused(data):
    with pytest.raises(tf.errors.InvalidArgumentError, match="no first frame, or too many blocks"):
        images.decode(tf.constant(data))


def test_a_frame_anywhere_on_the_canvas_has_its_own_size():
    picture = Image.new("P", (40, 30))
    data = encoded(picture, "GIF")
    at = data.index(b"\x2c\0\0\0\0")
    assert first(data[: at + 1] + b"\x05\0\x06\0" + data[at + 5 :])[1] == (30, 40)
