"""Decoding and resizing: formats, channels, rounding, and errors."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from frostline.data import images


def encoded(array, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_formats_decode_to_the_same_pixels(pixels, kind):
    np.testing.assert_array_equal(images.decode(tf.constant(encoded(pixels, kind))).numpy(), pixels)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "WEBP"])
def test_lossy_formats_decode_to_similar_pixels_of_the_same_shape(kind):
    flat = np.full((20, 30, 3), 120, np.uint8)
    decoded = images.decode(tf.constant(encoded(flat, kind))).numpy()
    assert decoded.shape == flat.shape
    assert np.abs(decoded.astype(int) - 120).max() <= 4


def test_greyscale_is_repeated_and_alpha_is_dropped():
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    decoded = images.decode(tf.constant(encoded(grey, "PNG"))).numpy()
    np.testing.assert_array_equal(decoded, np.repeat(grey[..., None], 3, axis=2))
    translucent = np.dstack([np.full((8, 8, 3), 200, np.uint8), np.full((8, 8), 10, np.uint8)])
    np.testing.assert_array_equal(images.decode(tf.constant(encoded(translucent, "PNG"))).numpy(), 200)


@pytest.mark.parametrize("data", [b"", b"not an image", encoded(np.zeros((9, 9, 3), np.uint8), "JPEG")[:60]])
def test_bytes_that_are_not_an_image_raise_the_error_that_preprocessing_catches(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        images.from_bytes(tf.constant(data), 16)


def test_resizing_rounds_to_bytes(pixels):
    resized = images.resize(tf.constant(pixels), 16)
    assert resized.shape == (16, 16, 3)
    assert resized.dtype == tf.uint8
    exact = tf.image.resize(pixels, [16, 16], antialias=True).numpy()
    assert np.abs(resized.numpy() - exact).max() <= 0.5 + 1e-4


def test_an_image_of_the_final_size_is_unchanged(pixels):
    square = pixels[:16, :16]
    np.testing.assert_array_equal(images.resize(tf.constant(square), 16).numpy(), square)
