"""Augmentation: a pure function of (seed, view, key), within the configured limits."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from frostline.data import augment
from frostline.data.config import AugmentConfig

SIZE = 32
ALL = AugmentConfig(flip=True, crop=0.4, colour=0.3)
LUMA = np.array([0.299, 0.587, 0.114])
PICTURE = np.random.default_rng(5).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def variants(config, keys, *, picture=PICTURE, seed=0, view=0):
    """[keys, size, size, 3] uint8, in one batch."""
    drawn = augment.draws(np.array(keys, np.int64), view=view, seed=seed)
    return augment.apply(np.stack([picture] * len(drawn)), drawn, config)


def in_tensorflow(image, key, *, view, seed, config):
    """The same variant of one image in TensorFlow's own operations: [size, size, 3] float32, not rounded."""
    size = len(image)
    stream = tf.constant([seed, 0], tf.int64)
    for part in (view, key):
        stream = tf.random.experimental.stateless_fold_in(stream, tf.constant(part, tf.int64), alg="philox")
    draws = tf.random.stateless_uniform([7], stream, alg="philox").numpy()
    pixels = tf.cast(image[:, ::-1] if config.flip and draws[0] < 0.5 else image, tf.float32)
    if config.crop:
        smallest = max(1, size - int(size * config.crop))
        side = smallest + int(draws[1] * np.float32(size - smallest + 1))
        top, left = (int(draw * np.float32(size - side + 1)) for draw in draws[2:4])
        pixels = tf.image.resize(pixels[top : top + side, left : left + side], [size, size])
    if config.colour:
        bright, contrast, saturation = 1 + config.colour * (2 * draws[4:7].astype(float) - 1)
        pixels = pixels.numpy().astype(float) * bright
        mean = np.round(pixels @ LUMA).mean()
        pixels = mean + (pixels - mean) * contrast
        grey = (pixels @ LUMA)[..., None]
        pixels = grey + (pixels - grey) * saturation
    return np.clip(pixels, 0, 255)


@pytest.mark.parametrize("size", [1, 2, 7, SIZE, 75])
@pytest.mark.parametrize(
    "config",
    [AugmentConfig(flip=True), AugmentConfig(crop=0.9), AugmentConfig(colour=0.6), ALL],
    ids=["flip", "crop", "colour", "all"],
)
def test_the_pixels_are_those_of_tensorflows_operations(config, size):
    keys = np.array([0, 1, -1, 2**63 - 1, -(2**63), 2**32, 12345678901234567], np.int64)
    images = np.random.default_rng(size).integers(0, 256, (len(keys), size, size, 3), np.uint8)
    found = augment.apply(images, augment.draws(keys, view=2, seed=2**31 - 1), config)
    for image, key, one in zip(images, keys.tolist(), found, strict=True):
        expected = in_tensorflow(image, key, view=2, seed=2**31 - 1, config=config)
        np.testing.assert_allclose(one, expected, atol=0.5 + 1e-3)  # half a level, and float32 against float64


def test_the_bits_of_an_image_depend_on_no_other_image_of_its_batch():
    keys = np.arange(40)
    images = np.random.default_rng(2).integers(0, 256, (len(keys), SIZE, SIZE, 3), np.uint8)
    together = augment.apply(images, augment.draws(keys, view=1, seed=3), ALL)
    kept = images.copy()
    for part in (*([number] for number in range(40)), [7, 7, 3], range(39, -1, -1), range(5, 22), []):
        chosen = np.array(part, np.int64)
        found = augment.apply(images[chosen], augment.draws(keys[chosen], view=1, seed=3), ALL)
        assert found.tobytes() == together[chosen].tobytes()
    assert images.tobytes() == kept.tobytes()  # the images themselves stay


def test_threads_do_not_disturb_each_other():
    expected = variants(ALL, range(30)).tobytes()
    with ThreadPoolExecutor(4) as pool:
        assert {found.tobytes() for found in pool.map(lambda _: variants(ALL, range(30)), range(60))} == {expected}


def test_a_window_is_not_read_beyond_its_edges():
    """Bilinear weights reach half a pixel beyond the window: there its own edge repeats."""
    size, side, start = 16, 8, 4
    images = np.full((1, size, size, 3), 255, np.uint8)
    images[:, start : start + side, start : start + side] = 10
    middle = (start + 0.5) / (size - side + 1)
    drawn = np.array([[0, 0, middle, middle, 0, 0, 0]], np.float32)  # the smallest window, in the middle
    assert (augment.apply(images, drawn, AugmentConfig(crop=0.5)) == 10).all()


def windows(fraction, keys):
    """[keys, 3] float: top, left and side of the window, in pixels, read off a picture whose pixels are coordinates."""
    size = 64
    rows, columns = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    picture = np.stack([rows * 4, columns * 4, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    found = variants(AugmentConfig(crop=fraction), keys, picture=picture).astype(float) / 4
    middle = found[:, size // 4 : 3 * size // 4, size // 4 : 3 * size // 4]  # away from edges, where pixels repeat
    scale = (middle[:, -1, 0, 0] - middle[:, 0, 0, 0]) / (size // 2 - 1)
    across = (middle[:, 0, -1, 1] - middle[:, 0, 0, 1]) / (size // 2 - 1)
    np.testing.assert_allclose(scale, across, atol=0.02)  # the aspect ratio is kept
    corners = [middle[:, 0, 0, axis] + 0.5 - scale * (size // 4 + 0.5) for axis in (0, 1)]
    return np.stack([*corners, scale * size], axis=1)


def test_the_bytes_are_the_same_in_another_process_and_another_order():
    keys = [7, -(2**63), 2**63 - 1, 0]
    here = variants(ALL, keys, seed=11, view=3)
    program = f"""
import sys, numpy as np
from frostline.data import augment
from frostline.data.config import AugmentConfig
picture = np.random.default_rng(5).integers(0, 256, ({SIZE}, {SIZE}, 3), dtype=np.uint8)
config = AugmentConfig(flip=True, crop=0.4, colour=0.3)
drawn = augment.draws(np.array({keys[::-1]}), view=3, seed=11)
sys.stdout.buffer.write(augment.apply(np.stack([picture] * 4), drawn, config).tobytes())
"""
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=300).stdout
    np.testing.assert_array_equal(np.frombuffer(there, np.uint8).reshape(here.shape)[::-1], here)


def test_another_key_view_or_seed_gives_another_picture():
    keys = (0, 1, 2**32)
    found = [
        image.tobytes() for seed in (0, 1) for view in (0, 1) for image in variants(ALL, keys, seed=seed, view=view)
    ]
    assert len(set(found)) == 12


def test_an_image_is_the_same_size_and_type():
    assert variants(ALL, [1]).shape == (1, SIZE, SIZE, 3)
    assert variants(ALL, [1]).dtype == np.uint8


def test_the_default_changes_nothing():
    assert (variants(AugmentConfig(), range(20)) == PICTURE).all()


@pytest.mark.parametrize("vary", ["key", "view", "seed"])
def test_half_of_the_pictures_are_mirrored_and_the_others_are_unchanged(vary):
    config = AugmentConfig(flip=True)
    if vary == "key":
        found = variants(config, range(400))
    else:
        found = np.concatenate([variants(config, range(8), **{vary: number}) for number in range(12)])
    mirrored = (found == PICTURE[:, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (found == PICTURE).all(axis=(1, 2, 3))).all()
    assert abs(mirrored.mean() - 0.5) < 3.5 * 0.5 / np.sqrt(len(found))  # 3.5 standard deviations


def test_a_window_is_inside_the_image_and_no_smaller_than_configured():
    top, left, side = windows(0.4, range(300)).T
    tolerance = 0.6  # of a window's edge, read off rounded pixels
    assert side.min() > 64 * 0.6 - tolerance
    assert side.max() < 64 + tolerance
    for start in (top, left):
        assert start.min() > -tolerance
        assert (start + side).max() < 64 + tolerance


def test_windows_have_all_sizes_and_positions():
    top, left, side = windows(0.4, range(300)).T
    assert side.mean() == pytest.approx(64 * 0.8, abs=1.5)
    assert side.max() - side.min() > 64 * 0.38
    small = side < 54
    for start in (top, left):
        place = start[small] / (64 - side[small])
        assert place.min() < 0.08
        assert place.max() > 0.92
        assert place.mean() == pytest.approx(0.5, abs=0.1)
    assert abs(np.corrcoef(top[small], left[small])[0, 1]) < 0.25  # independent


def test_a_crop_of_less_than_a_pixel_changes_nothing():
    tiny = AugmentConfig(crop=0.03)  # less than one pixel of 32
    assert (variants(tiny, range(20)) == PICTURE).all()


def factors(colour, keys):
    """[keys, 3] float: brightness, contrast and saturation, read off a picture in four colours."""
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 0], picture[0, 1], picture[1, 0], picture[1, 1] = (80,) * 3, (120,) * 3, (80, 80, 120), (120, 120, 80)
    found = variants(AugmentConfig(colour=colour), keys, picture=picture).astype(float)
    luma = found @ LUMA
    source = picture @ LUMA
    bright = luma.mean(axis=(1, 2)) / source.mean()
    contrast = (luma[:, 0, 1] - luma[:, 0, 0]) / (40 * bright)
    blue = found[..., 2] - found[..., 0]
    saturation = (blue[:, 1, 0] - blue[:, 1, 1]) / (80 * bright * contrast)
    return np.stack([bright, contrast, saturation], axis=1)


def test_colour_factors_use_the_whole_configured_range_and_no_more():
    found = factors(0.3, range(300))
    for factor, tolerance in zip(found.T, (0.01, 0.04, 0.05), strict=True):  # of factors read off rounded pixels
        assert factor.min() > 0.7 - tolerance
        assert factor.max() < 1.3 + tolerance
        assert factor.min() < 0.73
        assert factor.max() > 1.27
        assert factor.mean() == pytest.approx(1.0, abs=0.04)


def test_the_three_colour_factors_are_independent():
    found = factors(0.3, range(300))
    correlations = np.corrcoef(found.T)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 0.25


def test_colours_change_as_in_pillow():
    config = AugmentConfig(colour=0.4)
    picture = np.random.default_rng(1).integers(40, 200, (SIZE, SIZE, 3), dtype=np.uint8)
    levels = factors(0.4, range(12))
    for found, (bright, contrast, saturation) in zip(variants(config, range(12), picture=picture), levels, strict=True):
        expected = ImageEnhance.Brightness(Image.fromarray(picture)).enhance(bright)
        expected = ImageEnhance.Contrast(expected).enhance(contrast)
        expected = np.asarray(ImageEnhance.Color(expected).enhance(saturation), float)
        assert np.abs(found - expected).max() <= 8  # Pillow rounds down to eight bits three times
        assert np.abs(found - expected).mean() < 2


@pytest.mark.parametrize("size", [2, SIZE])
def test_colours_are_clipped_at_black_and_white(size):
    picture = np.zeros((size, size, 3), np.uint8)
    picture[: size // 2] = 255
    found = variants(AugmentConfig(colour=0.9), range(50), picture=picture)
    upper, lower = found[:, : size // 2], found[:, size // 2 :]
    assert (upper >= lower).all()  # what does not fit into eight bits is clipped and does not wrap around
    assert upper.max() == 255
    assert lower.min() == 0


def test_switching_one_change_on_leaves_the_others_as_they_were():
    flipped = variants(AugmentConfig(flip=True), range(30))
    both = variants(AugmentConfig(flip=True, colour=1e-5), range(30))  # too small to be seen in whole levels
    assert (both == flipped).all()


def test_a_description_has_everything_that_the_pixels_depend_on():
    assert augment.description(AugmentConfig(), 3) == {}
    described = augment.description(ALL, 3)
    assert described == {"version": augment.VERSION, "seed": 3, "flip": True, "crop": 0.4, "colour": 0.3}
    for other in (ALL.model_copy(update=change) for change in ({"flip": False}, {"crop": 0.1}, {"colour": 0.1})):
        assert augment.description(other, 3) != described
    assert augment.description(ALL, 4) != described


def test_the_number_of_views_does_not_change_what_a_view_is():
    more = ALL.model_copy(update={"views": 4})
    assert augment.description(more, 3) == augment.description(ALL, 3)
    assert (variants(more, range(5), view=2) == variants(ALL, range(5), view=2)).all()


def test_the_algorithm_is_still_version_one():
    """Cached features are found by the version: a change of these pixels must raise it."""
    ramp = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    found = variants(ALL, [1, 2], picture=ramp, seed=9, view=1)
    assert augment.VERSION == 1
    corners = found[:, ::7, ::7, 1].tolist()  # of green
    assert corners == [[[7, 25], [150, 168]], [[29, 14], [147, 133]]]
    assert (
        hashlib.sha256(found.tobytes()).hexdigest()
        == "4dbe4aad94942c96d753361dfb1c0c5997ce2801e7edcc962cbb478eca384e37"
    )
