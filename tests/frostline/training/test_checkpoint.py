"""A checkpoint comes back bit for bit, or not at all; whatever happens to the newest, the one before is there."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from frostline import digests, storage
from frostline.errors import DataError, StorageError
from frostline.training.checkpoint import Checkpoints, place


@pytest.fixture(params=["local", "gcs"])
def root(request, tmp_path):
    place = str(tmp_path / "store") if request.param == "local" else request.getfixturevalue("gcs")
    return storage.join(place, "checkpoints", "fingerprint")


def save(root, step, **options):
    return Checkpoints(root, **options).save(step, {"w": np.arange(step, step + 4)}, {"epoch": step})


def names(root):
    return [item.uri.rpartition("/")[2] for item in storage.list_files(root)]


def steps(root):
    return [int(name.split(".")[0]) for name in names(root)]


def all_kinds():
    generator = np.random.default_rng(3)
    nan = np.array([0x7FC00001, 0xFFC0BEEF, 0x7F800001, 0x80000000], np.uint32).view(np.float32)
    return {
        "model/0/0": nan,
        "model/1/0": np.array([0x7FC1, 0xFF81, 0x8000, 0x3F80], np.uint16).view(ml_dtypes.bfloat16).reshape(2, 2),
        "bfloat16 scalar": np.array(1.5, ml_dtypes.bfloat16),
        "optimizer/iterations": np.array(2**62 + 1, np.int64),
        "seed": np.array([2**32 - 1, 7], np.uint32),
        "mask": np.array([[True, False], [False, True]]),
        "none": np.zeros((0, 3), np.float32),
        "half": generator.normal(size=5).astype(np.float16),
        "double": generator.normal(size=(2, 3, 4)),
        "columns": np.asfortranarray(generator.normal(size=(3, 5))),
        "every other": generator.normal(size=(6, 4))[::2, 1:],
        "../../outside": np.arange(3, dtype=np.int8),
        "document": np.arange(2),
        "arr_0": np.arange(5),
        "a.npy": np.arange(6),
        "a": np.arange(7),
        "file": np.arange(8),
        "größe\n": np.array(3 + 4j),
    }


def test_arrays_of_every_kind_come_back_bit_for_bit_under_their_names(root):
    arrays = all_kinds()
    uri = Checkpoints(root).save(7, arrays, {})
    found = Checkpoints(root).latest()
    assert (found.step, found.uri) == (7, uri)
    assert list(found.arrays) == list(arrays)
    for name, array in arrays.items():
        received = found.arrays[name]
        assert (received.dtype, received.shape) == (array.dtype, array.shape), name
        assert received.tobytes() == array.tobytes(), name


def test_a_state_comes_back_so_exactly_that_its_text_is_the_same(root):
    """A resumed run's history must be the same file: no 1.0 becomes 1, and no key moves."""
    state = {"z": 1.0, "a": [{"loss": 0.1 + 0.2, "accuracy": 1.0, "epoch": 1}], "none": None, "ü": True, "big": 2**70}
    Checkpoints(root).save(7, {}, state)
    assert json.dumps(Checkpoints(root).latest().state) == json.dumps(state)


def test_the_name_tells_the_step_and_proves_the_content(root):
    uri = save(root, 31)
    content = storage.read_bytes(uri)
    assert uri == storage.join(root, f"000000000031.{digests.of_bytes(content)}.npz")
    assert save(root, 31) == uri  # the same again is the same object
    assert names(root) == [uri.rpartition("/")[2]]


def test_a_place_without_checkpoints_has_no_latest(root):
    assert Checkpoints(root).latest() is None
    Checkpoints(root).clear()
    storage.write_bytes(storage.join(root, "README.txt"), b"not a checkpoint")
    assert Checkpoints(root).latest() is None


def test_the_newest_are_kept_and_as_many_as_asked_for(root):
    for step in (5, 9, 10, 1000, 2000):
        save(root, step, keep=3)
    assert steps(root) == [10, 1000, 2000]
    assert Checkpoints(root).latest().step == 2000
    save(root, 2001, keep=1)
    assert steps(root) == [2001]


def test_going_on_from_an_older_checkpoint_never_removes_the_one_just_saved(root):
    """The newest is damaged, training goes on from the one before, and saves at a step between the two."""
    save(root, 50)
    damaged = save(root, 60)
    storage.write_bytes(damaged, b"")
    save(root, 55)
    assert steps(root) == [50, 55, 60]  # a damaged one is no reason to remove a good one
    save(root, 55, keep=1)
    assert Checkpoints(root).latest().step == 55
    assert save(root, 60) == damaged
    assert Checkpoints(root).latest().step == 60  # the same content mends the damaged one


def test_when_training_is_over_all_go_and_nothing_else(root):
    other = storage.join(root.rpartition("/")[0], "other")
    for step in (1, 2):
        save(root, step)
        save(other, step)
    Checkpoints(root).clear()
    assert names(root) == []
    assert steps(other) == [1, 2]
    Checkpoints(root).clear()


def test_a_note_for_people_lies_beside_the_checkpoints_and_outlives_them(root):
    save(root, 1)
    uri = Checkpoints(root).note("note.json", {"step": 1})
    assert Checkpoints(root).latest().step == 1
    Checkpoints(root).clear()
    assert json.loads(storage.read_bytes(uri)) == {"step": 1}
    assert names(root) == ["note.json"]


def test_processes_that_clear_and_save_at_once_do_not_stumble_over_each_other(root, monkeypatch):
    """Another process removes everything between the look at what is there and the removal."""
    save(root, 1)
    save(root, 2)
    seen = storage.list_files(root)
    Checkpoints(root).clear()
    monkeypatch.setattr(storage, "list_files", lambda uri: seen)
    assert Checkpoints(root).latest() is None
    Checkpoints(root).clear()


def test_a_truncated_newest_is_passed_over_and_told(root, capsys):
    save(root, 1)
    newest = save(root, 2)
    content = storage.read_bytes(newest)
    for length in sorted({0, 1, 4, 30, len(content) - 1, *range(0, len(content), len(content) // 12)}):
        storage.write_bytes(newest, content[:length])
        assert Checkpoints(root).latest().step == 1, length
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"{newest}: is damaged")


def test_any_flipped_byte_of_the_newest_is_noticed(root, capsys):
    save(root, 1)
    newest = save(root, 2)
    content = storage.read_bytes(newest)
    for position in range(0, len(content), 1 if root.startswith("/") else 60):
        flipped = bytearray(content)
        flipped[position] ^= 0x10
        if root.startswith("/"):
            Path(newest).write_bytes(flipped)  # without storage's flush to the disk, for speed
        else:
            storage.write_bytes(newest, bytes(flipped))
        assert Checkpoints(root).latest().step == 1, position
        assert "is damaged" in capsys.readouterr().err


def test_where_all_are_damaged_there_is_none(root, capsys):
    for step in (1, 2):
        storage.write_bytes(save(root, step), b"PK\x03\x04")
    assert Checkpoints(root).latest() is None
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_bucket_or_directory_that_cannot_be_read_is_an_error_and_not_an_empty_one(tmp_path, gcs):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="no such"):
        Checkpoints(f"{gcs}-missing/checkpoints").latest()
    with pytest.raises(StorageError, match="cannot be written") as caught:
        save(str(tmp_path / "file" / "checkpoints"), 1)
    assert "\n" not in str(caught.value)


def test_a_temporary_directory_that_is_gone_is_told_in_one_line(tmp_path, monkeypatch):
    root = str(tmp_path / "root")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(StorageError, match=r"written by way of .*gone") as caught:
        save(root, 1)
    assert str(caught.value).startswith(f"{root}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fingerprint", ["", "..", "../../registry", "a" * 63, "A" * 64, f"{'a' * 64}\n", "/etc"])
def test_a_fingerprint_that_is_no_digest_leads_nowhere(fingerprint):
    with pytest.raises(DataError, match="expected a SHA-256 digest"):
        place("/store", fingerprint)
