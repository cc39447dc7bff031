"""Directories and buckets: the same guarantees, tested on both."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from frostline import storage
from frostline.errors import NotFound, PreconditionFailed, StorageError

from tests.support import buckets
from tests.support.stored import names, one_line


@pytest.fixture(params=["local", "gcs"])
def root(request, tmp_path):
    return str(tmp_path / "store") if request.param == "local" else request.getfixturevalue("gcs")


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
