"""Packs of features that several threads and processes write and read at once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from frostline import digests, storage
from frostline.features import packs

from tests.support.feature_packs import LAYOUT, ids_of, opened, rows_of, write


def test_many_threads_read_at_once(root, tmp_path):
    write(root, 50)
    rows = rows_of(50)
    with opened(root, tmp_path) as reader, ThreadPoolExecutor(8) as pool:
        places = [np.random.default_rng(seed).integers(0, 50, 20) for seed in range(40)]
        found = pool.map(lambda chosen: reader.read([ids_of(50)[place] for place in chosen]), places)
        assert all(part.tobytes() == rows[chosen].tobytes() for part, chosen in zip(found, places, strict=True))


_WRITE_OFTEN = """
import sys
import numpy as np
from frostline import digests
from frostline.features.packs import Layout, Writer
for seed in range(5):
    with Writer(sys.argv[1], Layout((2, 3), "float32"), computed_on="CPU", pack_bytes=240) as writer:
        ids = [digests.of_bytes(str(number).encode()) for number in range(30 * seed, 30 * seed + 30)]
        writer.add(ids, np.random.default_rng(seed).normal(size=(30, 2, 3)))
"""


def test_two_processes_that_write_the_same_at_once_both_succeed(tmp_path):
    root = str(tmp_path / "root")
    processes = [subprocess.Popen([sys.executable, "-c", _WRITE_OFTEN, root]) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    with opened(root, tmp_path) as reader:
        assert (set(reader.ids), reader.damaged) == (set(ids_of(150)), 0)


def test_a_listing_beside_a_writer_has_what_was_there(tmp_path):
    root = str(tmp_path)
    write(root, 2)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [write(root, 1, first=first) for first in range(2, 60)])
        while not writing.done():
            assert set(ids_of(2)) <= set(packs.names_by_image(root, LAYOUT))
        writing.result()


def test_an_intact_pack_keeps_its_bits(root, tmp_path):
    assert write(root, 4, seed=0) == write(root, 4, seed=1)
    with opened(root, tmp_path) as reader:
        assert reader.read(ids_of(4)).tobytes() == rows_of(4, seed=0).tobytes()


@pytest.mark.parametrize("before", [".bin", ".json"])
def test_a_writer_of_other_bits_that_comes_between_leaves_a_whole_pack(tmp_path, monkeypatch, before):
    root, waiting, name = str(tmp_path), [1], digests.of_json(ids_of(4))

    def interrupt(function):
        def interrupted(first, second, **options):
            if str(second if function == upload else first).endswith(f"{name}{before}") and waiting:
                waiting.clear()
                write(root, 4, seed=1)
            return function(first, second, **options)

        return interrupted

    upload = storage.upload_file
    monkeypatch.setattr(storage, "write_bytes", interrupt(storage.write_bytes))
    monkeypatch.setattr(storage, "upload_file", interrupt(upload))
    write(root, 4, seed=0)
    assert not waiting
    with opened(root, tmp_path) as reader:
        assert (set(reader.ids), reader.damaged) == (set(ids_of(4)), 0)


def test_the_first_pack_by_name_counts_where_two_hold_one_image(tmp_path):
    root = str(tmp_path)
    packs = {write(root, count, seed=count)[0]: count for count in range(1, 7)}
    first = packs[min(packs)]
    with opened(root, tmp_path) as reader:
        assert reader.read(ids_of(1)).tobytes() == rows_of(first, seed=first)[:1].tobytes()
