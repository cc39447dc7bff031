"""Files that others made: only a regular file is opened, and nothing waits."""

import os
from pathlib import Path

import pytest

from frostline import artifacts, digests, storage
from frostline.errors import DataError, NotFound, StorageError
from frostline.files import open_regular

from tests.support import odd_files


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_regular_file_is_read_also_through_a_link_and_its_descriptor_is_not_inherited(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"content"
            assert not os.get_inheritable(file.fileno())


@pytest.mark.parametrize("kind", odd_files.KINDS)
def test_what_is_no_regular_file_is_refused_at_once_in_one_line(tmp_path, kind):
    path = odd_files.make(tmp_path / "document.json", kind)
    works = (
        (StorageError, lambda: open_regular(path)),
        (StorageError, lambda: digests.of_file(path)),
        (StorageError, lambda: storage.read_bytes(str(path))),
        (StorageError, lambda: storage.read_bytes(str(path), offset=1, length=1)),
        (StorageError, lambda: storage.localize(str(path), tmp_path)),
        (DataError, lambda: artifacts.read_json(path, "plan")),
        (DataError, lambda: list(artifacts.read_jsonl(path))),
    )
    for expected, work in works:
        before = descriptors()
        with odd_files.in_time(), pytest.raises(expected) as caught:
            work()
        assert str(caught.value) == f"{path}: cannot be read: it is no regular file"
        assert descriptors() == before
    assert storage.stat(str(path)) is None
    with pytest.raises(NotFound):
        storage.upload_file(path, str(tmp_path / "copy"))


def test_a_directory_is_named_as_one(tmp_path):
    for work in (open_regular, digests.of_file, lambda path: storage.read_bytes(str(path))):
        with pytest.raises(StorageError, match=r"cannot be read: Is a directory$"):
            work(tmp_path)
    assert storage.localize(str(tmp_path), tmp_path / "into") == tmp_path


def test_a_writer_does_not_wait_for_a_reader_of_its_lock(tmp_path):
    os.mkfifo(tmp_path / ".alias.lock")
    with odd_files.in_time(), pytest.raises(StorageError, match="alias: cannot be written"):
        storage.write_bytes(str(tmp_path / "alias"), b"x")


def test_a_fifo_is_replaced_and_removed_like_a_file(tmp_path):
    path = odd_files.make(tmp_path / "fifo", "fifo")
    with odd_files.in_time():
        storage.write_bytes(str(path), b"x")
        assert path.read_bytes() == b"x"
        path.unlink()
        assert storage.delete(str(odd_files.make(path, "fifo")))
