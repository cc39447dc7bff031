"""When features were last used: told by many pods at once, and never a reason to fail."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from frostline import storage
from frostline.errors import StorageError
from frostline.features import usage

from tests.support.feature_packs import ids_of, opened, write
from tests.support.relay import Relay

WRITERS = 32


def mark(root):
    return storage.join(root, usage.USED)


def at(monkeypatch, now):
    monkeypatch.setattr(usage.time, "time", lambda: now)


def one_write_per_second():
    """A fault for the relay, as a bucket has it: a write of an object within a second of another one is refused."""
    last, accepted, lock = {}, [], threading.Lock()

    def fault(method, path, body):
        if method not in ("POST", "PUT") or usage.USED.encode() not in body:
            return None
        with lock:
            now = time.monotonic()
            if now - last.get(path, 0.0) < 1.0:
                return "429"
            last[path] = now
            accepted.append(now)
            return None

    return fault, accepted


def test_a_use_is_recorded_with_its_time(root, monkeypatch):
    for now in (1000.5, 2000.5):
        at(monkeypatch, now)
        usage.touch(root)
        [item] = storage.list_files(root)
        assert json.loads(storage.read_bytes(item.uri)) == {"time": now}
        assert usage.last_used(root) == now


def test_a_recent_mark_is_not_written_again(root, monkeypatch):
    at(monkeypatch, 1000.0)
    usage.touch(root)
    first = storage.stat(mark(root)).generation
    at(monkeypatch, 1000.0 + usage.TOUCH_SECONDS - 1)
    usage.touch(root)
    assert storage.stat(mark(root)).generation == first
    at(monkeypatch, 1000.0 + usage.TOUCH_SECONDS)
    usage.touch(root)
    assert usage.last_used(root) == 1000.0 + usage.TOUCH_SECONDS


@pytest.mark.parametrize("stored", [b'{"time": 1e12}', b"no JSON", b""])
def test_a_mark_from_the_future_or_of_no_meaning_is_replaced(root, monkeypatch, stored):
    storage.write_bytes(mark(root), stored)
    at(monkeypatch, 5000.0)
    usage.touch(root)
    assert usage.last_used(root) == 5000.0


@pytest.mark.parametrize("stored", [None, b'{"time": 1}'])
def test_many_pods_that_mark_one_object_at_once_write_it_once(root, stored):
    """Each reads the same old mark, so that all of them want to write."""
    if stored is not None:
        storage.write_bytes(mark(root), stored)
    started = threading.Barrier(WRITERS)

    def pod(_):
        started.wait()
        for _ in range(10):
            usage.touch(root)

    before = time.time()
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(pod, range(WRITERS)))
    assert before <= usage.last_used(root) <= time.time()


def test_shards_that_store_packs_at_once_keep_to_the_rate_of_a_bucket(gcs, tmp_path):
    fault, accepted = one_write_per_second()
    root = f"{gcs}/features/{'a' * 64}"
    with Relay(fault) as relay, ThreadPoolExecutor(8) as pool:
        packs = [name for made in pool.map(lambda shard: write(root, 4, first=4 * shard), range(8)) for name in made]
    with opened(root, tmp_path, packs) as reader:
        assert sorted(reader.ids) == sorted(ids_of(32))
    assert 1 <= len(accepted) <= 8  # the others found a mark that was new, or lost against one
    assert relay.struck["429"] <= 60  # within the first second or two, each with a pause before it asks again


@pytest.mark.parametrize("broken", ["stat", "write_bytes"])
def test_a_mark_that_cannot_be_written_is_no_failure(root, monkeypatch, broken):
    def fail(*_, **__):
        raise StorageError("the bucket is away")

    with monkeypatch.context() as patched:
        patched.setattr(storage, broken, fail)
        usage.touch(root)
    assert storage.stat(mark(root)) is None


def test_a_mark_that_is_no_file_counts_as_none(tmp_path):
    os.mkfifo(tmp_path / usage.USED)
    usage.touch(str(tmp_path))
    assert usage.last_used(str(tmp_path)) == 0.0
