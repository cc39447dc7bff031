"""Prune removes nothing outside the registry, wherever a link in it leads."""

import shutil
from pathlib import Path

import pytest

from frostline import registry
from frostline.errors import StorageError

from tests.support.registries import Models


@pytest.fixture
def make(tmp_path):
    made = Models(str(tmp_path / "registry"), tmp_path / "made")
    made.promoted(b"1", b"2", b"3", b"4")
    return made


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("variables.index", "photo.jpg", "manifest.json"):
        (folder / name).write_bytes(b"mine")
    return folder


def untouched(folder):
    return [path.read_bytes() for path in folder.iterdir()] == [b"mine"] * 3


def test_a_folder_of_a_version_that_became_a_link(make, photos):
    place = Path(make.root, "digits/versions/2/variables")
    shutil.rmtree(place)
    place.symlink_to(photos)
    told = registry.prune(make.root, "digits", keep=1, dry_run=True)
    assert [one.number for one in told] == [2]
    assert not any("photo.jpg" in address for one in told for address in one.files)
    assert registry.prune(make.root, "digits", keep=1) == told
    assert untouched(photos)


@pytest.mark.parametrize("place", ["digits", "digits/versions", "digits/versions/2", "digits/standings"])
def test_a_folder_above_the_files_that_became_a_link_is_told_and_nothing_is_removed(make, photos, place):
    moved = Path(make.root, place).rename(photos.parent / "moved")
    before = sorted(path for path in moved.rglob("*") if path.is_file())
    Path(make.root, place).symlink_to(moved)
    with pytest.raises(StorageError, match=f"{place}: is a link to a directory"):
        registry.prune(make.root, "digits", keep=1)
    assert sorted(path for path in moved.rglob("*") if path.is_file()) == before


def test_a_link_in_what_is_published_is_not_followed(make, photos):
    directory = make.files(b"5")
    (directory / "extra").symlink_to(photos)
    version = registry.publish(make.root, "digits", directory, identity="a" * 64, metadata={"n": 1})
    assert not [name for name in make.stored(f"versions/{version.number}") if name.startswith("extra")]
