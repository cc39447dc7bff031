"""A file that `save` did not write is passed over, whatever it holds, and what cannot come back is refused."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from frostline import digests, storage
from frostline.errors import DataError
from frostline.training.checkpoint import Checkpoints


def save(root, step, **options):
    return Checkpoints(root, **options).save(step, {"w": np.arange(step, step + 4)}, {"epoch": step})


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
        ([np.array([len], object)], {"document": document()}),
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
