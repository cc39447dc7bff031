"""Directories alone: what dead writers left behind, and answers that NFS lost."""

import errno
import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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
    monkeypatch.setattr(local.time, "time", lambda: now - 1000 * 3600)  # the clock was set back: nothing is old
    storage.sweep(str(tmp_path))
    assert left.exists()
    monkeypatch.setattr(local.time, "time", lambda: now + 25 * 3600)
    storage.sweep(str(tmp_path))
    assert not left.exists()
    assert all(path.exists() for path in kept)
    storage.sweep(str(tmp_path / "nowhere"))


def test_a_lock_file_of_a_dead_writer_stops_nobody(tmp_path):
    (tmp_path / ".data.lock").touch()
    storage.write_bytes(str(tmp_path / "data"), b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def racing(count, write):
    """What `count` threads that start together receive: a Stat or PreconditionFailed each."""
    started = threading.Barrier(count)

    def attempt(_):
        started.wait()
        try:
            return write()
        except PreconditionFailed as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(attempt, range(count)))


def winners(results):
    return [one for one in results if isinstance(one, storage.Stat)]


def test_one_source_is_stored_exclusively_by_one_of_many_writers(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"rows")
    for number in range(200):
        uri = str(tmp_path / f"{number}.bin")
        stored = racing(4, lambda uri=uri: storage.upload_file(source, uri, if_generation=storage.ABSENT))
        assert len(winners(stored)) == 1, number
    assert source.stat().st_nlink == 201  # no temporary link is left


def test_a_link_and_a_file_of_bytes_are_exclusive_against_each_other(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"linked")
    for number in range(100):
        uri, turn = str(tmp_path / f"{number}.bin"), itertools.count()

        def write(uri=uri, turn=turn):
            if next(turn) % 2:
                return storage.write_bytes(uri, b"bytes", if_generation=storage.ABSENT)
            return storage.upload_file(source, uri, if_generation=storage.ABSENT)

        assert len(winners(racing(4, write))) == 1, number


def test_one_source_replaces_a_generation_once(tmp_path):
    """Even where the file that it replaces is a link to the same source."""
    source, uri = tmp_path / "source", str(tmp_path / "object")
    source.write_bytes(b"rows")
    first = storage.upload_file(source, uri)
    stored = racing(4, lambda: storage.upload_file(source, uri, if_generation=first.generation))
    [winner] = winners(stored)
    assert winner.generation == storage.stat(uri).generation != first.generation
    assert (tmp_path / "object").read_bytes() == b"rows"


def test_a_link_whose_answer_was_lost_is_still_ours(tmp_path, monkeypatch):
    """NFS: the link is made, and its retry finds it."""
    link = os.link

    def lose_the_answer(source, target):
        link(source, target)
        if not str(target).endswith(".partial"):
            raise FileExistsError(errno.EEXIST, "File exists")

    source = tmp_path / "source"
    source.write_bytes(b"rows")
    monkeypatch.setattr(os, "link", lose_the_answer)
    stored = storage.upload_file(source, str(tmp_path / "object"), if_generation=storage.ABSENT)
    assert stored.size == 4
    with pytest.raises(PreconditionFailed):
        storage.upload_file(source, str(tmp_path / "object"), if_generation=storage.ABSENT)
