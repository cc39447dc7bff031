"""Records: what training reads is what was written."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from frostline import storage
from frostline.data import records
from frostline.errors import DataError, StorageError

from tests.support.relay import Relay, flipped

SHARD = "00000-of-00001"
PIXELS = np.random.default_rng(3).integers(0, 256, (6, 6, 3), np.uint8)
DIGEST = hashlib.sha256(b"an image").hexdigest()


def row(number, **changes):
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    found = {"id": f"{number}.png", "uri": f"/photos/{number}.png", "offset": 0, "size": 9, "sha256": sha256}
    return {**found, "label": number % 2, "split": "train", **changes}


def test_the_original_bytes_are_the_part_of_the_file_that_the_row_names(tmp_path):
    (tmp_path / "blob").write_bytes(b"before" + b"original!" + b"after")
    place = {"uri": str(tmp_path / "blob"), "offset": 6, "size": 9, "sha256": hashlib.sha256(b"original!").hexdigest()}
    assert records.original(row(0, **place)) == b"original!"
    for change in ({"offset": 5}, {"size": 8}, {"sha256": "0" * 64}):
        with pytest.raises(DataError, match=r"^0\.png: has changed since it was ingested; run the pipeline again$"):
            records.original(row(0, **{**place, **change}))
    with pytest.raises(StorageError):
        records.original(row(0, uri=str(tmp_path / "missing")))


@pytest.mark.parametrize("times", [1, 2])
def test_a_bit_that_changes_on_the_way_does_not_make_an_image_one_that_has_changed(gcs, times):
    storage.write_bytes(f"{gcs}/blob", b"before" + b"original!" + b"after")
    place = {"uri": f"{gcs}/blob", "offset": 6, "size": 9, "sha256": hashlib.sha256(b"original!").hexdigest()}
    faults = [flipped] * times
    with Relay(lambda method, path, _: faults.pop() if faults and "alt=media" in path else None):
        if times == 1:
            assert records.original(row(0, **place)) == b"original!"
        else:
            with pytest.raises(DataError, match="has changed since it was ingested"):
                records.original(row(0, **place))
    assert faults == []


def test_an_example_has_the_pixels_and_the_label_that_were_written():
    for label in (0, 7, 999):
        record = records.serialize(PIXELS, label, "f" * 64)
        image = records.pixels(record, 6)
        np.testing.assert_array_equal(image, PIXELS)
        assert (image.dtype, image.shape) == (np.uint8, (6, 6, 3))
        assert tf.train.Example.FromString(record).features.feature["label"].int64_list.value == [label]


@pytest.mark.parametrize("size", [1, 2, 41, 128, 299])  # longer lengths take more bytes
def test_the_pixels_of_an_image_of_any_size_are_found(size):
    pixels = np.random.default_rng(size).integers(0, 256, (size, size, 3), np.uint8)
    np.testing.assert_array_equal(records.pixels(records.serialize(tf.constant(pixels), 1, DIGEST), size), pixels)


def test_pixels_of_another_type_are_refused():
    with pytest.raises(TypeError, match="received float32; expected uint8"):
        records.serialize(PIXELS.astype(np.float32), 0, DIGEST)


def test_an_example_names_its_image_and_always_has_the_same_bytes():
    record = records.serialize(PIXELS, 7, "f" * 64)
    assert record == records.serialize(PIXELS, 7, "f" * 64)
    assert tf.train.Example.FromString(record).features.feature["id"].bytes_list.value == [b"f" * 64]


@pytest.mark.parametrize("label", [0, 1, 127, 128, 999])
def test_an_example_is_of_its_image_and_label_and_of_no_other(label):
    for size in (1, 6, 100, 300):  # longer lengths take more bytes
        record = records.serialize(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8), label, DIGEST)
        assert records.is_of(record, DIGEST, label)
        assert not records.is_of(record, DIGEST[::-1], label)
        assert not any(records.is_of(record, DIGEST, other) for other in (*range(130), 998, 1000) if other != label)


def test_an_id_inside_the_pixels_does_not_make_a_record_that_of_an_image():
    inside = records.serialize(PIXELS, 7, DIGEST)
    example = tf.train.Example.FromString(records.serialize(PIXELS, 7, "f" * 64))
    example.features.feature["image"].bytes_list.value[0] += inside
    record = example.SerializeToString(deterministic=True)
    assert DIGEST.encode() in record
    assert records.is_of(record, "f" * 64, 7)
    assert not records.is_of(record, DIGEST, 7)


@pytest.mark.parametrize("size", [5, 7])
def test_an_example_of_another_size_is_refused(size):
    with pytest.raises(DataError, match=f"no image of {size} x {size} pixels as bytes; run the pipeline again"):
        records.pixels(records.serialize(PIXELS, 0, "f" * 64), size)


def test_an_example_of_another_format_is_refused():
    """Records of FORMAT_VERSION 2 are PNGs under other addresses."""
    example = tf.train.Example.FromString(records.serialize(PIXELS, 0, "f" * 64))
    example.features.feature["image"].bytes_list.value[0] = tf.io.encode_png(PIXELS).numpy()
    for record in (example.SerializeToString(deterministic=True), b"", records.serialize(PIXELS, 0, DIGEST)[:-40]):
        with pytest.raises(DataError, match="no image of 6 x 6 pixels"):
            records.pixels(record, 6)


def test_every_split_gets_a_file_with_its_name_in_tfds(tmp_path):
    with records.writers(tmp_path / "new", "toy", SHARD) as writers:
        writers["test"].write(b"one")
    found = {path.name: path.stat().st_size for path in (tmp_path / "new").iterdir()}
    assert found == {
        "toy-test.tfrecord-00000-of-00001": 12 + 3 + 4,  # header, data, checksum
        "toy-train.tfrecord-00000-of-00001": 0,
        "toy-validation.tfrecord-00000-of-00001": 0,
    }
