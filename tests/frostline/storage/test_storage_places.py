"""Parts of addresses, links, locks and full or forbidden places: mostly what only a directory has."""

import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from frostline import storage
from frostline.errors import PreconditionFailed, StorageError

from tests.support.stored import one_line


@pytest.mark.parametrize("part", ["", "..", "a/../b", "/etc", "a//b", ".", "a\\b", "a\0b", "a/"])
def test_a_part_that_could_lead_elsewhere_is_refused(part):
    for place in ("/some/dir", "gs://bucket"):
        with pytest.raises(StorageError, match="relative path"):
            storage.join(place, "fine", part)


def test_join_keeps_the_kind_of_root():
    assert storage.join("gs://bucket/", "a/b", "c") == "gs://bucket/a/b/c"
    assert storage.join("/", "a") == "/a"
    assert storage.join("relative/dir", "a") == "relative/dir/a"


@pytest.mark.parametrize("uri", ["s3://bucket/x", "http://host/x", "gs:///x"])
def test_an_address_of_another_kind_is_refused(uri):
    with pytest.raises(StorageError) as caught:
        storage.stat(uri)
    one_line(caught, uri, "gs://BUCKET/PREFIX")


@pytest.mark.parametrize("root", ["", "gs://", "gs:"])
def test_there_is_nothing_below_no_root(root):
    with pytest.raises(StorageError, match="expected a directory or gs://BUCKET"):
        storage.join(root, "digits")


def test_a_swap_waits_for_the_one_under_way_and_sees_its_result(tmp_path):
    path, lock = tmp_path / "alias", tmp_path / ".alias.lock"
    before = storage.write_bytes(str(path), b"old")
    with ThreadPoolExecutor(1) as pool:
        with lock.open("ab") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            swap = pool.submit(storage.write_bytes, str(path), b"late", if_generation=before.generation)
            assert not wait([swap], timeout=0.2).done
            path.unlink()
            path.write_bytes(b"first")
        with pytest.raises(PreconditionFailed):
            swap.result(timeout=10)
    assert path.read_bytes() == b"first"


def test_a_lock_file_that_was_removed_while_waiting_is_no_lock(tmp_path):
    path, lock = tmp_path / "alias", tmp_path / ".alias.lock"
    with ThreadPoolExecutor(1) as pool:
        with lock.open("ab") as first:
            fcntl.flock(first, fcntl.LOCK_EX)
            write = pool.submit(storage.write_bytes, str(path), b"x")
            assert not wait([write], timeout=0.2).done
            lock.unlink()
            second = lock.open("ab")
            fcntl.flock(second, fcntl.LOCK_EX)
        with second:
            assert not wait([write], timeout=0.2).done
        write.result(timeout=10)
    assert [item.name for item in tmp_path.iterdir()] == ["alias"]


def test_a_replacement_is_younger_than_what_it_replaces_whatever_the_clock_says(tmp_path):
    path = tmp_path / "alias"
    storage.write_bytes(str(path), b"1")
    ahead = path.stat().st_mtime_ns + 3600 * 10**9
    os.utime(path, ns=(ahead, ahead))
    storage.write_bytes(str(path), b"2")
    storage.write_bytes(str(path), b"3")
    assert path.stat().st_mtime_ns > ahead + 1


def test_a_local_file_is_linked_not_copied(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"weights")
    stored = tmp_path / "store" / "file"
    storage.upload_file(source, str(stored))
    assert stored.samefile(source)
    storage.upload_file(source, str(stored))
    assert sorted(path.name for path in stored.parent.iterdir()) == ["file"]


def test_a_file_of_another_device_is_copied(tmp_path):
    source = Path("/proc/self/status")  # never on the device of a temporary directory
    storage.upload_file(source, str(tmp_path / "file"))
    assert (tmp_path / "file").read_bytes().startswith(b"Name:")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("a regular file")
    (tmp_path / "directory").mkdir()
    for place in (tmp_path / "file" / "below", Path("/proc/frostline/x"), tmp_path / "directory"):
        for condition in (None, storage.ABSENT) if place.name != "directory" else (None,):
            with pytest.raises(StorageError) as caught:
                storage.write_bytes(str(place), b"x", if_generation=condition)
            one_line(caught, place, "cannot be written")
            assert not isinstance(caught.value, PreconditionFailed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["directory", "file"]
    assert list((tmp_path / "directory").iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below/it", "/proc/frostline", "loose/end"])
def test_check_writable_names_the_place(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "loose").symlink_to(tmp_path / "nothing" / "here")
    uri = str(tmp_path / place)
    with pytest.raises(StorageError) as caught:
        storage.check_writable(uri)
    one_line(caught, uri, "cannot be written")


def test_a_write_that_finds_no_room_keeps_the_old_content_and_no_part_of_the_new(tmp_path):
    uri = str(tmp_path / "data")
    storage.write_bytes(uri, b"old")
    code = f"""
import resource
from frostline import storage
from frostline.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for condition, name in ((None, "data"), (storage.ABSENT, "new")):
    try:
        storage.write_bytes({str(tmp_path)!r} + "/" + name, bytes(100_000), if_generation=condition)
    except StorageError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"{tmp_path}/{name}: cannot be written: File too large" for name in ("data", "new")
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert storage.read_bytes(uri) == b"old"


def test_google_is_not_imported_for_a_local_directory(tmp_path):
    code = f"""
import sys
from frostline import storage
storage.write_bytes({str(tmp_path / "x")!r}, b"")
print([name for name in sys.modules if name.startswith("google")])
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
