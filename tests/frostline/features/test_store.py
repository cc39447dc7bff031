"""The store of features: the least recently used goes first, and what is in use stays."""

from pathlib import Path

import pytest

from frostline import storage
from frostline.errors import StorageError
from frostline.features import packs, usage
from frostline.features import store as feature_store

from tests.support.feature_packs import LAYOUT, ids_of, opened, rows_of, write


@pytest.fixture(params=["directory", "bucket"])
def store(request, tmp_path):
    return str(tmp_path / "store") if request.param == "directory" else request.getfixturevalue("gcs")


def test_a_set_has_a_directory_of_its_own_and_no_address_leads_out_of_the_store(store):
    assert feature_store.root_of(store, "a" * 64) == f"{store}/features/{'a' * 64}"
    with pytest.raises(StorageError):
        feature_store.root_of(store, "../weights")


def test_the_size_is_that_of_all_files_of_all_sets(store):
    assert feature_store.size(store) == 0
    for address in ("a" * 64, "b" * 64):
        write(feature_store.root_of(store, address), 4)
    storage.write_bytes(f"{store}/weights/x", bytes(1000))  # no features
    found = storage.list_files(f"{store}/features")
    assert len(found) == 6  # rows, sidecar and time of use of both
    assert feature_store.size(store) == sum(item.size for item in found) > 2 * 4 * LAYOUT.row_bytes


def test_what_was_used_longest_ago_goes_first_and_what_is_kept_never(tmp_path, monkeypatch):
    store = str(tmp_path)
    names = [letter * 64 for letter in "abcd"]
    for age, name in enumerate(names):
        root = feature_store.root_of(store, name)
        write(root, 4)
        monkeypatch.setattr(usage.time, "time", lambda age=age: 1000.0 + age)
        usage.touch(root)
    each = feature_store.size(store) // 4
    assert feature_store.evict(store, 10 * each, set()) == []
    removed = feature_store.evict(store, 2 * each + 10, {names[0]})
    assert [name for name, _ in removed] == names[1:3]
    assert sum(amount for _, amount in removed) == 4 * each - feature_store.size(store)
    assert feature_store.evict(store, 0, set(names)) == []
    assert len(packs.names(feature_store.root_of(store, names[0]))) == 1


def test_a_reader_goes_on_while_its_packs_are_removed(tmp_path):
    store, name = str(tmp_path), "a" * 64
    root = feature_store.root_of(store, name)
    write(root, 4)
    with opened(root, tmp_path) as reader:
        feature_store.evict(store, 0, set())
        assert packs.names(root) == []
        assert reader.read(ids_of(4)).tobytes() == rows_of(4).tobytes()


def test_no_sidecar_is_there_without_its_rows_while_writing_or_removing(tmp_path, monkeypatch):
    store, name = str(tmp_path), "a" * 64
    root, seen = feature_store.root_of(store, name), []

    def watched(function):
        def watching(*arguments, **options):
            found = function(*arguments, **options)
            names = {item.uri.rpartition("/")[2] for item in storage.list_files(root)} - {"used.json"}
            assert all(name.replace(".json", ".bin") in names for name in names)
            seen.append(len(names))
            return found

        return watching

    for function in ("write_bytes", "upload_file", "delete"):
        monkeypatch.setattr(storage, function, watched(getattr(storage, function)))
    write(root, 4)
    feature_store.evict(store, 0, set())
    assert max(seen) == 2
    assert seen[-1] == 0


def test_what_is_being_written_is_not_the_first_to_go(tmp_path):
    store, old, new = str(tmp_path), "a" * 64, "b" * 64
    write(feature_store.root_of(store, new), 4)
    storage.write_bytes(storage.join(feature_store.root_of(store, old), "used.json"), b'{"time": 1}')
    assert [name for name, _ in feature_store.evict(store, feature_store.size(store) - 1, set())] == [old]


@pytest.mark.parametrize("time", ["1" + "0" * 400, "NaN", "[" * 100_000 + "]" * 100_000, '"soon"'])
def test_a_mark_of_use_that_cannot_be_read_counts_as_none(tmp_path, time):
    store, old, new = str(tmp_path), "b" * 64, "a" * 64
    for name in (old, new):
        write(feature_store.root_of(store, name), 4)
    (Path(feature_store.root_of(store, old)) / "used.json").write_text(f'{{"time": {time}}}')
    assert [name for name, _ in feature_store.evict(store, feature_store.size(store) - 1, set())] == [old]


@pytest.mark.parametrize("name", ["features//x", "features/../x", "features/notes"])
def test_eviction_passes_over_what_no_run_put_there(gcs, name):
    write(feature_store.root_of(gcs, "a" * 64), 4)
    storage.write_bytes(f"{gcs}/{name}", b"x")
    assert [address for address, _ in feature_store.evict(gcs, 0, set())] == ["a" * 64]
    assert storage.read_bytes(f"{gcs}/{name}") == b"x"


def test_eviction_removes_nothing_outside_the_store(tmp_path):
    outside, place = tmp_path / "outside", tmp_path / "store" / "features"
    (outside / "deep").mkdir(parents=True)
    (place / ("b" * 64)).mkdir(parents=True)
    for folder in (outside, outside / "deep", place / ("b" * 64)):
        (folder / "photo.bin").write_bytes(b"mine")
    (place / ("a" * 64)).symlink_to(outside)
    (place / ("b" * 64) / "more").symlink_to(outside)
    assert feature_store.evict(str(tmp_path / "store"), 0, keep=()) == [("b" * 64, 4)]
    assert (outside / "photo.bin").read_bytes() == (outside / "deep" / "photo.bin").read_bytes() == b"mine"
