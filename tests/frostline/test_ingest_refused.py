"""Data and settings with which nothing can be trained stop the stage, in one line."""

from pathlib import Path

import pytest

from frostline.errors import ConfigError, DataError, FrostlineError

from tests.support.ingesting import HALF, put, runner, three_classes


@pytest.fixture
def photos(tmp_path):
    return three_classes(tmp_path / "photos")


@pytest.fixture
def ingested(tmp_path):
    return runner(tmp_path)


@pytest.mark.parametrize(
    ("data", "shards", "message"),
    [
        (
            {"classes": ["cat", "dogs"]},
            2,
            r"data\.classes: received 'cat'; did you mean cats\? the source's labels are",
        ),
        ({"classes": ["bats?!", "dogs"]}, 2, r"the source's labels are cats, dogs, owls"),
        ({"classes": ["cats", "dogs", "cats"]}, 2, r"data\.classes: received .* expected each label once"),
        ({}, 91, r"shards: received 91; expected 1 to 90, the number of images used"),
        ({}, 0, r"shards: received 0"),
        ({"clases": []}, 2, r"data\.clases: received \[\]; unknown key"),
        ({"test_fraction": "much"}, 2, r"data\.test_fraction: received 'much'"),
    ],
)
def test_wrong_configuration(photos, ingested, tmp_path, data, shards, message):
    with pytest.raises(ConfigError, match=message):
        ingested(photos, {**HALF, **data}, shards)
    assert not list(tmp_path.glob("dataset-*/*"))  # nothing that a later step could use


def _one_class(root):
    put(root, cats=range(30))


def _no_image_in_a_class(root):
    put(root, cats=range(30), dogs=())
    (root / "dogs" / "readme.txt").write_text("none yet")


def _too_few_to_test(root):
    put(root, cats=range(30), dogs=[100])


def _too_few_to_validate(root):
    put(root, cats=range(2), dogs=range(100, 102))


@pytest.mark.parametrize(
    ("make", "data", "message"),
    [
        (lambda root: None, HALF, "which is not a directory"),
        (Path.mkdir, HALF, "has no class folder"),
        (_one_class, HALF, "source: received only one class, 'cats'; expected images of at least two"),
        (
            _no_image_in_a_class,
            HALF,
            r"class 'dogs': has no images; add images, .*; files left out: 1 .txt \(not images\)",
        ),
        (
            _too_few_to_test,
            HALF,
            r"class 'dogs' \(1 train, 0 validation, 0 test\): has no images in the train or test split; a class needs",
        ),
        (
            _too_few_to_validate,
            {"validation_fraction": 0.001, "test_fraction": 0.5},
            r"there are no images in the validation split; raise data\.validation_fraction",
        ),
    ],
)
def test_data_that_cannot_be_used(ingested, tmp_path, make, data, message):
    make(tmp_path / "photos")
    with pytest.raises(DataError, match=message) as caught:
        ingested(tmp_path / "photos", data)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("dataset-*/*"))


def test_a_store_that_cannot_be_written_fails_in_one_line(ingested, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FrostlineError, match="file") as caught:
        ingested("digits", store=tmp_path / "file" / "store")
    assert "\n" not in str(caught.value)
