"""The size that a header says is known before anything is decoded, and refused where it is too large."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from frostline.data import dimensions, images

from tests.support import bombs
from tests.support.odd_pictures import COLOURS, encoded, tiff

MEASURE = """
import json, re, sys
from pathlib import Path
import tensorflow as tf
from frostline.data import images

def peak():
    # Of this program alone: getrusage() begins with the peak of the process that started it.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

serve = tf.function(lambda files: images.batch(files, 32), input_signature=[tf.TensorSpec([None], tf.string)])
found = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    data, before, errors = path.read_bytes(), peak(), []
    for way in (lambda: images.from_bytes(tf.constant(data), 32), lambda: serve([data] * 4)):
        try:
            way()
        except tf.errors.InvalidArgumentError as error:
            errors.append(error.message)
    found[path.name] = (peak() - before) // 1024, len(errors), sum("pixels" in error for error in errors)
print(json.dumps(found))
"""


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def in_a_graph(data):
    return dimensions.of(data)


@pytest.mark.parametrize(("kind", "options"), [
    ("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("GIF", {}), ("BMP", {}),
    ("WEBP", {"lossless": True}), ("WEBP", {"lossless": False}), ("WEBP", {"exif": tiff(3)}),
    ("WEBP", {"save_all": True, "append_images": [COLOURS.transpose(Image.Transpose.ROTATE_180)]}),
    ("GIF", {"save_all": True, "append_images": [COLOURS.transpose(Image.Transpose.ROTATE_180)]}),
])  # fmt: skip
def test_the_header_says_what_decoding_gives(kind, options):
    data = encoded(COLOURS, kind, **options)
    for size in (dimensions.of(tf.constant(data)), in_a_graph(tf.constant(data))):
        assert tuple(size.numpy()) == (21, 30)


def test_sizes_that_need_more_than_one_byte_are_read_whole():
    wide = Image.new("RGB", (1025, 261))
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP"):
        assert tuple(dimensions.of(tf.constant(encoded(wide, kind))).numpy()) == (261, 1025), kind
    assert tuple(dimensions.of(tf.constant(encoded(wide, "WEBP", lossless=True))).numpy()) == (261, 1025)
    os2 = b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 1025, 261, 1, 24)
    assert tuple(dimensions.of(tf.constant(os2)).numpy()) == (261, 1025)
    assert tuple(dimensions.of(tf.constant(b"text")).numpy()) == (0, 0)


def test_a_product_that_overflows_is_not_small():
    most = 2**26
    sizes = tf.constant([[2**13, 2**13], [2**13, 2**13 + 1], [2**32 - 1, 2**32 - 1], [0, 2**40], [1, 2**26]], tf.int64)
    assert dimensions.at_most(sizes, most).numpy().tolist() == [True, False, False, False, True]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Of each bomb: how many MB it took, how many of two ways refused it, and how many for its pixels."""
    folder = tmp_path_factory.mktemp("bombs")
    for kind in ("GIF", "WEBP"):
        (folder / f"a first {kind}").write_bytes(encoded(COLOURS, kind))
    for name, data in bombs.make().items():
        (folder / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, folder], check=True, capture_output=True, text=True, timeout=300
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", bombs.make())
def test_a_small_file_never_takes_much_memory(measured, name):
    megabytes, refused, for_its_pixels = measured[name]
    assert megabytes < 250
    if name == "gif of 500 frames":  # its first frame is a picture
        assert refused == 0
    elif "larger than" in name:
        assert refused == 2
    else:
        assert for_its_pixels == 2


def test_a_large_picture_among_others_is_decoded_too():
    files = [encoded(COLOURS, "PNG"), encoded(Image.new("RGB", (2100, 2000), (9, 8, 7)), "JPEG", quality=100)]
    for usual in (True, False):
        is_large, _ = images.traced(16, usual=usual)
        assert [bool(is_large(file)) for file in files] == [False, True]
    together = images.batch(tf.constant(files), 16).numpy()
    alone = [images.from_bytes(tf.constant(file), 16).numpy() for file in files]
    np.testing.assert_array_equal(together, np.stack(alone))
