"""Serving computes from odd files what preprocessing stores: every pixel, in the loader that servers use."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from frostline.data import examples, records
from frostline.documents.data import INFO, MANIFEST, QUARANTINE, VALIDATION
from frostline.model import backbones, export
from frostline.model.serving import Served

from tests.support.odd_pictures import (
    COLOURS,
    SMOOTH,
    TRANSLUCENT,
    bmp,
    direct_bmp,
    encoded,
    jpeg_with,
    segment,
    tiff,
)  # fmt: skip
from tests.support.stages import Bench

SIZE = 16
GREY12 = Image.fromarray(np.arange(630, dtype=np.uint16).reshape(21, 30) * 6)
FILES = {
    "pal8.bmp": bmp(8, 13, 7)[0],
    "pal4.bmp": bmp(4, 13, -7)[0],
    "pal1.bmp": bmp(1, 13, 7)[0],
    "565.bmp": direct_bmp(16, 13, 7, (0xF800, 0x7E0, 0x1F))[0],
    "rgba.webp": encoded(TRANSLUCENT, "WEBP", lossless=True),
    "opaque-animation.webp": encoded(COLOURS, "WEBP", save_all=True, append_images=[SMOOTH]),
    "animation.webp": encoded(TRANSLUCENT, "WEBP", save_all=True, append_images=[TRANSLUCENT.rotate(180)]),
    "animation.gif": encoded(COLOURS.convert("P"), "GIF", save_all=True, append_images=[SMOOTH.convert("P")]),
    **{f"exif{value}.jpg": jpeg_with(segment(b"Exif\0\0" + tiff(value))) for value in range(1, 9)},
    "grey12in16.png": encoded(GREY12, "PNG"),
    "cmyk.jfif": encoded(SMOOTH.convert("CMYK"), "JPEG"),
    "progressive": encoded(SMOOTH, "JPEG", progressive=True),
    "two.mpo": encoded(SMOOTH, "MPO", save_all=True, append_images=[COLOURS]),
    "bits.png": encoded(COLOURS.convert("1"), "PNG"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Two classes, of odd and of plain files, and a TIFF that is called JPEG."""
    root = tmp_path_factory.mktemp("odd")
    for folder in ("odd", "plain"):
        (root / "photos" / folder).mkdir(parents=True)
    for name, data in FILES.items():
        (root / "photos" / "odd" / name).write_bytes(data)
    (root / "photos" / "odd" / "renamed.jpg").write_bytes(encoded(COLOURS, "TIFF"))
    for turn in range(8):
        (root / "photos" / "plain" / f"{turn}.png").write_bytes(encoded(COLOURS.rotate(turn), "PNG"))
    bench = Bench(root)
    bench.validate(bench.preprocess(bench.ingest(root / "photos"), SIZE), SIZE)
    return bench


def test_serving_computes_the_stored_pixels_of_every_odd_file(bench, tmp_path):
    inputs = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(inputs, keras.layers.Flatten()(inputs))
    export.save(model, [str(place) for place in range(SIZE * SIZE * 3)], SIZE, "SmallConvNet", tmp_path / "serving")
    address = INFO.read(bench.root / "info")["records"]
    stored = {}
    for split in ("train", "validation", "test"):
        found = examples.load(address, split, tmp_path)
        for identifier, record in zip(found.ids, found.read(np.arange(len(found.ids))), strict=True):
            stored[identifier] = records.pixels(record, SIZE)
        found.close()
    rows = [row for row in MANIFEST.read(bench.root / "dataset") if row["sha256"] in stored]
    assert {row["id"] for row in rows} >= {f"odd/{name}" for name in FILES}
    pixels = np.stack([stored[row["sha256"]] for row in rows])
    with Served(tmp_path / "serving") as served:
        outputs = served.predict([records.original(row) for row in rows])  # one request
    expected = backbones.normalise(tf.constant(pixels), "SmallConvNet").numpy().reshape(len(rows), -1)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)  # one step of a pixel is 8e-3


def test_what_cannot_be_read_is_named_by_its_format(bench):
    (row,) = QUARANTINE.read(bench.root / "info")
    assert row["id"] == "odd/renamed.jpg"
    assert row["reason"] == "is a TIFF file, which cannot be read; convert it to JPEG or PNG"


def test_images_of_sixteen_bits_that_use_a_sixteenth_are_told_in_one_line(bench):
    lines = [line for line in VALIDATION.read(bench.root / "info")["warnings"] if "sixteenth" in line]
    assert len(lines) == 1
    assert lines[0].startswith("1 images of 16 bits use at most a sixteenth of their range; they are taken as they are")
    assert lines[0].endswith("odd/grey12in16.png")
