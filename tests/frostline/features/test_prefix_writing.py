"""Features are written by another thread than the one that computes them; errors of either side end both."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from frostline.data.batches import Images
from frostline.errors import DataError, StorageError
from frostline.features import packs, prefix
from frostline.features.packs import Layout
from frostline.features.prefix import BATCH, Prefix
from frostline.model import backbones, head
from frostline.model.config import HeadConfig

from tests.support import recorded

SIZE = 16


@pytest.fixture
def function():
    model = head.attach(backbones.build("SmallConvNet", SIZE), HeadConfig(), 3)
    return Prefix(lambda: model, "SmallConvNet", "block2_pool")


@pytest.fixture
def layout(function):
    return Layout(function.shape, "float32")


def writers():
    return [thread for thread in threading.enumerate() if thread.name.startswith(("features_", "batches_"))]


class Slow(packs.Writer):
    """Waits before it adds the first batch, until `released`; remembers the threads that add."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.released, self.threads, self.batches = threading.Event(), [], []

    def add(self, ids, rows):
        assert self.released.wait(30)
        self.threads.append(threading.current_thread())
        super().add(ids, rows)
        self.batches.append(list(ids))


def test_batches_are_computed_while_one_is_written_and_no_more_than_fit_the_queue(tmp_path, function, layout, source):
    images = source(recorded.noise(6 * BATCH, SIZE))
    with Slow(str(tmp_path / "packs"), layout, computed_on="CPU") as writer:
        counts = prefix.fill(function, images, np.arange(6 * BATCH), 0, writer, layout)
        with ThreadPoolExecutor(1, "caller") as pool:
            first = pool.submit(next, counts)
            deadline = time.monotonic() + 30
            while function.images < 3 * BATCH and time.monotonic() < deadline:
                time.sleep(0.01)
            assert (function.images, writer.batches, first.done()) == (3 * BATCH, [], False)
            writer.released.set()
            assert first.result() == BATCH
        assert list(counts) == [BATCH] * 5
        assert [one for batch in writer.batches for one in batch] == list(images.examples.ids)
        assert len(set(writer.threads)) == 1
        assert writer.threads[0] is not threading.current_thread()
    assert writers() == []


def test_a_caller_that_stops_early_leaves_no_thread_and_nothing_is_written_after(tmp_path, function, layout, source):
    images = source(recorded.noise(5 * BATCH, SIZE))
    with Slow(str(tmp_path / "packs"), layout, computed_on="CPU") as writer:
        writer.released.set()
        counts = prefix.fill(function, images, np.arange(5 * BATCH), 0, writer, layout)
        assert next(counts) == BATCH
        counts.close()
        assert writers() == []
        assert 1 <= len(writer.batches) < 5


class Failing(packs.Writer):
    """Cannot add its second batch; counts the batches that it was given."""

    given = 0

    def add(self, ids, rows):
        self.given += 1
        if self.given == 2:
            raise StorageError("the store: no space left on device")
        super().add(ids, rows)


def test_an_error_of_the_writer_is_raised_and_nothing_is_written_after_it(tmp_path, function, layout, source):
    images = source(recorded.noise(6 * BATCH, SIZE))
    failing = Failing(str(tmp_path / "packs"), layout, computed_on="CPU")
    with pytest.raises(StorageError, match=r"^the store: no space left on device$"), failing as writer:
        list(prefix.fill(function, images, np.arange(6 * BATCH), 0, writer, layout))
    assert failing.given == 2
    assert function.images <= 4 * BATCH
    assert writers() == []


def test_an_error_of_the_reader_is_raised_and_ends_the_writer(tmp_path, function, layout, source, monkeypatch):
    images = source(recorded.noise(3 * BATCH, SIZE))

    def read(self, positions, view, original=Images.read):
        if BATCH in positions:
            raise DataError("a record is damaged")
        return original(self, positions, view)

    monkeypatch.setattr(Images, "read", read)
    with (
        pytest.raises(DataError, match=r"^a record is damaged$"),
        packs.Writer(str(tmp_path / "packs"), layout, computed_on="CPU") as writer,
    ):
        list(prefix.fill(function, images, np.arange(3 * BATCH), 0, writer, layout))
    assert packs.names(str(tmp_path / "packs")) == []
    assert writers() == []
