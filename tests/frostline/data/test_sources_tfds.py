"""Sources that TensorFlow Datasets prepares."""

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from frostline.data.sources import open_source
from frostline.errors import ConfigError, DataError


def photo(number, kind="PNG"):
    """Encoded bytes of an 8x8 picture that differs with `number`."""
    buffer = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def tfds_builders(tmp_path_factory):
    """Registers `tiny_photos`, `tiny_texts` and `tiny_download`; returns the bytes of tiny_photos by split."""
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("originals")
    splits = {"train": range(6), "test": range(6, 10)}
    for number in range(10):
        (folder / f"{number}.jpg").write_bytes(photo(number, "JPEG"))

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image = tfds.features.Image(shape=(None, None, 3))
            features = {"image": image, "label": tfds.features.ClassLabel(names=["wolf", "bear"])}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(numbers) for split, numbers in splits.items()}

        def _generate_examples(self, numbers):
            for number in numbers:
                yield number, {"image": folder / f"{number}.jpg", "label": -1 if number == 9 else number % 2}

    class TinyPhotos(Tiny):
        """A dataset of its own."""

    class TinyTexts(Tiny):
        """A dataset without images."""

        def _info(self):
            features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _generate_examples(self, numbers):
            for number in numbers:
                yield number, {"text": str(number)}

    class TinyDownload(Tiny):
        """A dataset whose server does not answer."""

        def _split_generators(self, dl_manager):
            dl_manager.download("http://127.0.0.1:9/photos.zip")

    return {split: [(folder / f"{number}.jpg").read_bytes() for number in numbers] for split, numbers in splits.items()}


@pytest.fixture
def data_dir(tfds_builders, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))


def test_tfds_keeps_the_original_bytes_of_every_split(tfds_builders, data_dir):
    source = open_source("tfds://tiny_photos")
    images = list(source.images)
    assert (source.name, source.labels, source.packed) == ("tiny_photos", ("bear", "wolf"), True)
    originals = tfds_builders["train"] + tfds_builders["test"]
    assert {image.data for image in images} == set(originals[:9])  # the tenth has no label
    assert all(image.label == ("wolf", "bear")[originals.index(image.data) % 2] for image in images)
    assert [image.id for image in images] == [image.id for image in open_source("tfds://tiny_photos").images]
    assert images[0].id == "tiny_photos/test/0000000"


def test_tfds_works_for_a_user_without_a_name(tfds_builders, data_dir, monkeypatch):
    def nameless(number):
        raise KeyError(f"not found: {number}")

    monkeypatch.setattr("pwd.getpwuid", nameless)
    monkeypatch.setattr("grp.getgrgid", nameless)
    assert open_source("tfds://tiny_photos").total == 10


def test_tfds_without_images_is_refused(data_dir):
    with pytest.raises(DataError, match=r"has the features \{'text': 'Text'\}; expected image: Image and label"):
        open_source("tfds://tiny_texts")


def test_tfds_without_a_network_says_so_in_one_line(data_dir):
    with pytest.raises(
        DataError, match=r"tfds://tiny_download cannot be downloaded or prepared here .*Connection"
    ) as caught:
        open_source("tfds://tiny_download")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("source", "message"), [
    ("tfds://tf_flower", "did you mean tf_flowers"),
    ("tfds://", "snake_case"),
    ("tfds://mnist:train", "snake_case"),
    ("tfds://../../etc", "snake_case"),
])  # fmt: skip
def test_unknown_tfds_names_are_refused(data_dir, source, message):
    with pytest.raises(ConfigError, match=message):
        open_source(source)
