"""Kinds of files are known by content, as Pillow writes it."""

import io

import pytest
from PIL import Image

from frostline.data import formats


def head(kind):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind)
    return buffer.getvalue()[: formats.HEAD]


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP"])
def test_images_that_can_be_read(kind):
    assert formats.is_image(head(kind)) is (kind != "DIB")  # a DIB is a BMP without its file header
    assert formats.not_decoded(head(kind)) == ""


@pytest.mark.parametrize(("kind", "name"), [("TIFF", "TIFF"), ("AVIF", "AVIF"), ("PDF", "PDF")])
def test_images_that_cannot_be_read(kind, name):
    assert not formats.is_image(head(kind))
    assert formats.not_decoded(head(kind)) == name


@pytest.mark.parametrize("data", [b"", b"BMW is a car, and this is a text", b"RIFF\0\0\0\0WAVE", b"GIF", b"\xff\xd8"])
def test_other_files(data):
    assert not formats.is_image(data)
    assert formats.not_decoded(data) == ""
