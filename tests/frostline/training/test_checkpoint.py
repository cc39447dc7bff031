"""A checkpoint comes back bit for bit, or not at all; whatever happens to the newest, the one before is there."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from frostline import digests, storage
from frostline.errors import DataError, StorageError
from frostline.training.checkpoint import Checkpoints, place

SAVE_FOREVER = """
import sys
import numpy as np
from frostline.training.checkpoint import Checkpoints
checkpoints = Checkpoints(sys.argv[1])
found = checkpoints.latest()
step = found.step if found else 0
while True:
    step += 1
    checkpoints.save(step, {"w": np.full(300_000, step, np.float32)}, {"step": step})
    print(step, flush=True)
"""
SAVE_THE_SAME = """
import sys
import numpy as np
from frostline.training.checkpoint import Checkpoints
checkpoints = Checkpoints(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for step in range(40):
    checkpoints.save(step, {"w": np.full(1000, step + float(sys.argv[2]), np.float32)}, {})
"""
SAVE_INTO_LITTLE_SPACE = """
import sys
import numpy as np
from frostline.training.checkpoint import Checkpoints
from frostline.errors import StorageError
checkpoints = Checkpoints(sys.argv[1])
checkpoints.save(1, {"w": np.ones(1000, np.float32)}, {})
try:
    checkpoints.save(2, {"w": np.ones(1_000_000, np.float32)}, {})
except StorageError as error:
    print(error)
print(checkpoints.latest().step)
checkpoints.save(3, {"w": np.ones(1000, np.float32)}, {})
print(checkpoints.latest().step)
"""


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


def forged(tmp_path, root, step, *arrays, **entries):
    """An .npz that `save` did not write, under the name that its content gives it."""
    path = tmp_path / "forged.npz"
    np.savez(path, *arrays, **entries)
    return storage.upload_file(path, storage.join(root, f"{step:012d}.{digests.of_file(path)}.npz")).uri


def document(step=2, **changed):
    fields = {"schema": "frostline/checkpoint/v1", "step": step, "names": ["w"], "bfloat16": [], "state": {}, **changed}
    return np.frombuffer(json.dumps(fields).encode(), np.uint8)


W = np.arange(3)


@pytest.mark.parametrize(
    ("arrays", "entries"),
    [
        ([W], {}),
        ([W], {"document": np.frombuffer(b"{", np.uint8)}),
        ([W], {"document": document(schema="frostline/checkpoint/v9")}),
        ([W], {"document": document(step=3)}),
        ([W], {"document": document(names=["w", "v"])}),
        ([W], {"document": document(names=None)}),
        ([W], {"document": document(bfloat16=["v"])}),
        ([np.float64(1.0)], {"document": document(bfloat16=["w"])}),
        ([np.array([print], object)], {"document": document()}),
        ([W], {"document": document(), "../../escaped": W}),
    ],
)
def test_a_file_that_save_did_not_write_is_passed_over_whatever_it_holds(tmp_path, capsys, arrays, entries):
    root = str(tmp_path / "root")
    save(root, 1)
    uri = forged(tmp_path, root, 2, *arrays, **entries)
    assert Checkpoints(root).latest().step == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{uri}: is not a checkpoint of this version: ")


def test_bytes_that_are_no_archive_are_passed_over_even_under_their_right_name(tmp_path, capsys):
    root = str(tmp_path)
    save(root, 1)
    one_array = tmp_path / "one.npy"
    np.save(one_array, W)
    for content in (b"", b"text", b"PK\x03\x04" + bytes(100), one_array.read_bytes()):
        uri = storage.join(root, f"{2:012d}.{digests.of_bytes(content)}.npz")
        storage.write_bytes(uri, content)
        assert Checkpoints(root).latest().step == 1
        assert f"{uri}: is not a checkpoint" in capsys.readouterr().err
        Path(uri).unlink()


@pytest.mark.parametrize("array", [np.array([{}], object), np.array(["text"]), np.array([1.0], ml_dtypes.float8_e5m2)])
def test_what_cannot_come_back_bit_for_bit_is_refused(tmp_path, array):
    root = str(tmp_path / "root")
    with pytest.raises(DataError, match=r"^odd: received an array of "):
        Checkpoints(root).save(1, {"w": W, "odd": array}, {})
    assert Checkpoints(root).latest() is None


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


def test_a_process_killed_at_any_moment_leaves_what_it_had_saved(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # whoever is killed does not clean up
    moments, returned = random.Random(5), 0
    for _ in range(10 if root.startswith("/") else 3):
        process = subprocess.Popen([sys.executable, "-c", SAVE_FOREVER, root], stdout=subprocess.PIPE, text=True)
        lines = [process.stdout.readline()]  # at least one is saved
        time.sleep(moments.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.stdout.close()
        process.wait()
        returned = max([returned, *(int(line) for line in lines if line.endswith("\n"))])
        found = Checkpoints(root).latest()
        assert found.step in (returned, returned + 1)  # killed between the upload and the line
        assert found.state == {"step": found.step}
        assert (found.arrays["w"] == found.step).all()
    assert capsys.readouterr().err == ""  # and none of what is there is damaged
    assert returned >= 3


@pytest.mark.parametrize("second", ["0", "0.5"], ids=["the same content", "another content"])
def test_two_processes_may_save_the_same_steps_at_once(root, second, capsys):
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SAVE_THE_SAME, root, offset],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for offset in ("0", second)
    ]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        assert process.communicate(timeout=120)[1] == ""
        assert process.returncode == 0
    found = Checkpoints(root).latest()
    assert found.step == 39
    assert set(found.arrays["w"]) <= {39.0, 39.5}
    assert capsys.readouterr().err == ""


def mounts():
    """A command that runs another with a file system of its own at $1, or None where the system forbids it."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", *user, "--mount", "sh", "-c"]
    works = subprocess.run([*command, "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False).returncode == 0
    return command if works else None


@pytest.mark.parametrize("full", ["store", "temporary"])
def test_a_full_disk_is_told_in_one_line_and_the_older_checkpoint_serves(tmp_path, full):
    """Where mounting is forbidden, a limit on the size of files stands in for the small disk."""
    store, temporary = tmp_path / "store", tmp_path / "temporary"
    store.mkdir()
    temporary.mkdir()
    namespace = mounts()
    script = 'mount -t tmpfs -o size=300k tmpfs "$1"; shift; exec "$@"'
    prefix = [*namespace, script, "sh", str(tmp_path / full)] if namespace else ["prlimit", "--fsize=300000"]
    done = subprocess.run(
        [*prefix, sys.executable, "-c", SAVE_INTO_LITTLE_SPACE, str(store)],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=True,
    )
    message, after, again = done.stdout.splitlines()
    assert message.startswith(str(store))
    assert ("No space left on device" if namespace else "File too large") in message
    assert (after, again) == ("1", "3")
    assert done.stderr == ""
    assert not list(temporary.iterdir())
    assert not list(store.rglob("*.partial"))


@pytest.mark.parametrize("fingerprint", ["", "..", "../../registry", "a" * 63, "A" * 64, f"{'a' * 64}\n", "/etc"])
def test_a_fingerprint_that_is_no_digest_leads_nowhere(fingerprint):
    with pytest.raises(DataError, match="expected a SHA-256 digest"):
        place("/store", fingerprint)
