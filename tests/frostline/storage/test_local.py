"""Directories alone: what dead writers left behind, and answers that NFS lost."""

import os
import time
from pathlib import Path

import pytest

from frostline import storage
from frostline.errors import PreconditionFailed
from frostline.storage import local


def test_a_create_whose_answer_was_lost_has_still_created(tmp_path, monkeypatch):
    link, lost = os.link, []

    def lose_the_answer(source, target):
        link(source, target)
        if str(target).endswith("created") and not lost:
            lost.append(target)
            raise FileExistsError(17, "File exists")  # what an NFS client gets for its retry

    monkeypatch.setattr(os, "link", lose_the_answer)
    assert storage.write_bytes(str(tmp_path / "created"), b"mine", if_generation=storage.ABSENT).size == 4
    assert lost
    with pytest.raises(PreconditionFailed):
        storage.write_bytes(str(tmp_path / "created"), b"other", if_generation=storage.ABSENT)


def test_temporary_files_of_a_dead_writer_are_not_listed(tmp_path):
    for name in (".data.0123.partial", ".data.lock", ".hidden", "data"):
        (tmp_path / name).touch()
    assert [Path(item.uri).name for item in storage.list_files(str(tmp_path))] == [".hidden", "data"]


def test_what_dead_writers_left_goes_after_a_day_and_nothing_else_does(tmp_path, monkeypatch):
    left = tmp_path / "sub" / f".data.{'0123' * 8}.partial"
    kept = [tmp_path / name for name in ("data.partial", ".hidden", ".data.lock", ".another's.partial", "sub/data")]
    left.parent.mkdir()
    for path in (left, *kept):
        path.write_bytes(b"x")
    os.utime(left, (0, 0))  # a file may be old when a writer links it there
    storage.sweep(str(tmp_path))
    assert left.exists()
    now = time.time()
    monkeypatch.setattr(local.time, "time", lambda: now + 25 * 3600)
    storage.sweep(str(tmp_path))
    assert not left.exists()
    assert all(path.exists() for path in kept)
    storage.sweep(str(tmp_path / "nowhere"))


def test_a_lock_file_of_a_dead_writer_stops_nobody(tmp_path):
    (tmp_path / ".data.lock").touch()
    storage.write_bytes(str(tmp_path / "data"), b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
