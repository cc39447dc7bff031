"""Below a root nothing is listed, read, written or removed through a link to a directory."""

import pytest

from frostline import storage
from frostline.errors import StorageError


@pytest.fixture
def outside(tmp_path):
    place = tmp_path / "outside"
    (place / "deep").mkdir(parents=True)
    (place / "photo.jpg").write_bytes(b"mine")
    (place / "deep" / "other.jpg").write_bytes(b"mine too")
    return place


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "models").mkdir(parents=True)
    return tmp_path / "root"


def test_a_list_passes_links_to_directories_and_has_links_to_files(root, outside):
    (root / "models" / "elsewhere").symlink_to(outside)
    (root / "models" / "again").symlink_to(root)
    (root / "models" / "file").symlink_to(outside / "photo.jpg")
    (root / "models" / "broken").symlink_to(outside / "nothing")
    assert [item.uri for item in storage.list_files(str(root))] == [str(root / "models" / "file")]


def test_of_a_link_to_a_file_the_link_is_removed_and_replaced(root, outside):
    link = root / "models" / "file"
    link.symlink_to(outside / "photo.jpg")
    storage.write_bytes(storage.join(str(root), "models/file"), b"new")
    assert (link.is_symlink(), link.read_bytes(), (outside / "photo.jpg").read_bytes()) == (False, b"new", b"mine")
    link.unlink()
    link.symlink_to(outside / "photo.jpg")
    assert storage.delete(storage.join(str(root), "models/file"))
    assert (outside / "photo.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize("parts", [("models",), ("models", "photo.jpg"), ("models/deep/other.jpg",), ("models/new",)])
def test_no_address_leads_through_a_link_to_a_directory(root, outside, parts):
    (root / "models").rmdir()
    (root / "models").symlink_to(outside)
    with pytest.raises(StorageError, match=r"models: is a link to a directory; nothing below .* is reached through a"):
        storage.join(str(root), *parts)


def test_the_root_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    uri = storage.join(str(tmp_path / "link"), "models", "one")
    storage.write_bytes(uri, b"1")
    assert (root / "models" / "one").read_bytes() == b"1"
    assert [item.uri for item in storage.list_files(str(tmp_path / "link"))] == [uri]
