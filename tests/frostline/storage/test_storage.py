"""Directories and buckets: the same guarantees, tested on both."""

import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from frostline import storage
from frostline.errors import NotFound, PreconditionFailed, StorageError

from tests.support import buckets


@pytest.fixture(params=["local", "gcs"])
def root(request, tmp_path):
    return str(tmp_path / "store") if request.param == "local" else request.getfixturevalue("gcs")


def names(uri):
    return [item.uri.removeprefix(f"{uri}/") for item in storage.list_files(uri)]


def one_line(caught, *parts):
    text = str(caught.value)
    assert "\n" not in text
    assert all(str(part) in text for part in parts), text


def test_a_written_object_is_described_listed_and_read_back(root):
    uri = storage.join(root, "sub", "data.bin")
    written = storage.write_bytes(uri, b"0123456789")
    assert written == storage.stat(uri) == storage.Stat(uri, 10, written.generation)
    assert storage.list_files(root) == [written]
    assert storage.read_bytes(uri) == b"0123456789"


def test_a_range_is_read_exactly_or_refused(root):
    uri = storage.join(root, "data.bin")
    storage.write_bytes(uri, b"0123456789")
    assert storage.read_bytes(uri, offset=2, length=3) == b"234"
    assert storage.read_bytes(uri, offset=7) == b"789"
    assert storage.read_bytes(uri, offset=4, length=0) == b""
    for offset in (8, 20):
        with pytest.raises(StorageError) as caught:
            storage.read_bytes(uri, offset=offset, length=5)
        one_line(caught, uri, f"from byte {offset}", "expected 5")


def test_what_is_not_there_is_not_found(root):
    uri = storage.join(root, "missing")
    assert storage.stat(uri) is None
    assert storage.list_files(root) == []
    for length in (None, 0, 3):
        with pytest.raises(NotFound) as caught:
            storage.read_bytes(uri, length=length)
        one_line(caught, uri)


def test_an_empty_object_is_an_object(root):
    uri = storage.join(root, "empty")
    storage.write_bytes(uri, b"")
    assert storage.read_bytes(uri) == b""
    assert storage.stat(uri).size == 0


def test_exclusive_create_refuses_what_exists_and_leaves_it_alone(root):
    uri = storage.join(root, "claim")
    first = storage.write_bytes(uri, b"first", if_generation=storage.ABSENT)
    with pytest.raises(PreconditionFailed) as caught:
        storage.write_bytes(uri, b"first", if_generation=storage.ABSENT)
    one_line(caught, uri, "already exists")
    assert storage.stat(uri) == first
    assert names(root) == ["claim"]


def test_compare_and_swap_replaces_only_what_was_read(root):
    uri = storage.join(root, "alias")
    first = storage.write_bytes(uri, b"1")
    second = storage.write_bytes(uri, b"2", if_generation=first.generation)
    with pytest.raises(PreconditionFailed) as caught:
        storage.write_bytes(uri, b"3", if_generation=first.generation)
    one_line(caught, uri, "replaced")
    assert storage.read_bytes(uri) == b"2"
    assert storage.stat(uri) == second


def test_compare_and_swap_does_not_create(root):
    seen = storage.write_bytes(storage.join(root, "other"), b"x")
    with pytest.raises(PreconditionFailed):
        storage.write_bytes(storage.join(root, "missing"), b"x", if_generation=seen.generation)
    assert names(root) == ["other"]


def test_every_replacement_has_its_own_generation(root):
    uri = storage.join(root, "alias")
    generations = {storage.write_bytes(uri, b"the same bytes").generation for _ in range(50)}
    assert len(generations) == 50


def test_one_of_many_exclusive_creators_wins(root):
    uri = storage.join(root, "claim")

    def create(number):
        try:
            storage.write_bytes(uri, str(number).encode(), if_generation=storage.ABSENT)
        except PreconditionFailed:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(create, range(16)) if number is not None]
    assert [storage.read_bytes(uri)] == [str(number).encode() for number in winners]


def test_no_update_is_lost_between_concurrent_swaps(root):
    uri = storage.join(root, "counter")
    storage.write_bytes(uri, b"0")

    def increment(_):
        while True:
            before = storage.stat(uri)
            value = int(storage.read_bytes(uri))
            if storage.stat(uri) != before:
                continue
            try:
                return storage.write_bytes(uri, str(value + 1).encode(), if_generation=before.generation)
            except PreconditionFailed:
                continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(24)))
    assert storage.read_bytes(uri) == b"24"
    assert names(root) == ["counter"]


def test_unconditional_writers_all_succeed(root):
    uri = storage.join(root, "log")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda number: storage.write_bytes(uri, str(number).encode()), range(6)))
    assert storage.read_bytes(uri) in {str(number).encode() for number in range(6)}


def test_a_listing_is_sorted_recursive_and_stops_at_the_directory(root):
    for name in ("b/z", "b/a/x", "a", "bb/other"):
        storage.write_bytes(storage.join(root, name), b"")
    assert names(root) == ["a", "b/a/x", "b/z", "bb/other"]
    assert names(storage.join(root, "b")) == ["a/x", "z"]
    assert storage.list_files(storage.join(root, "b") + "/") == storage.list_files(storage.join(root, "b"))


def test_a_file_is_stored_under_the_same_preconditions(root, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"content")
    uri = storage.join(root, "file")
    stored = storage.upload_file(source, uri, if_generation=storage.ABSENT)
    assert (stored, storage.read_bytes(uri)) == (storage.stat(uri), b"content")
    with pytest.raises(PreconditionFailed):
        storage.upload_file(source, uri, if_generation=storage.ABSENT)
    source.unlink()
    source.write_bytes(b"newer")
    storage.upload_file(source, uri, if_generation=stored.generation)
    assert storage.read_bytes(uri) == b"newer"
    with pytest.raises(NotFound) as caught:
        storage.upload_file(tmp_path / "nothing", uri)
    one_line(caught, tmp_path / "nothing")


def test_a_directory_goes_there_and_back(root, tmp_path):
    tree = {"top.txt": b"1", "deep/er/leaf.bin": bytes(1000), "deep/empty": b""}
    source = tmp_path / "source"
    for name, data in tree.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    buckets.upload(source, storage.join(root, "tree"))
    back = storage.localize(storage.join(root, "tree"), tmp_path / "back")
    assert {path.relative_to(back).as_posix(): path.read_bytes() for path in back.rglob("*") if path.is_file()} == tree
    single = storage.localize(storage.join(root, "tree/top.txt"), tmp_path / "single")
    assert (single.name, single.read_bytes()) == ("top.txt", b"1")
    with pytest.raises(NotFound):
        storage.localize(storage.join(root, "nothing"), tmp_path / "back")


def test_an_object_is_removed_once_and_what_is_not_there_is_no_error(root):
    kept, uri = storage.join(root, "sub", "kept"), storage.join(root, "sub", "gone")
    for one in (kept, uri):
        storage.write_bytes(one, b"x")
    assert storage.delete(uri)
    assert storage.stat(uri) is None
    assert not storage.delete(uri)
    assert not storage.delete(storage.join(root, "sub"))  # a directory is no object
    assert not storage.delete(storage.join(root, "nowhere", "at", "all"))
    assert names(root) == ["sub/kept"]


def test_of_many_that_remove_an_object_none_fails(root):
    uri = storage.join(root, "data")
    storage.write_bytes(uri, b"x")
    with ThreadPoolExecutor(8) as pool:
        assert any(pool.map(storage.delete, [uri] * 8))
    assert storage.stat(uri) is None


def test_check_writable_leaves_nothing(root, tmp_path):
    storage.check_writable(storage.join(root, "not", "there", "yet"))
    assert storage.list_files(root) == []
    assert list(tmp_path.iterdir()) == []


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


def test_links_are_followed_but_not_in_circles(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "image").touch()
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "class").symlink_to(outside)
    (inside / "again").symlink_to(inside)
    (inside / "broken").symlink_to(tmp_path / "nothing")
    assert names(str(inside)) == ["class/image"]


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
