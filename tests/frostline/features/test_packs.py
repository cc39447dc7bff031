"""Packs of features: rows come back bit for bit, what is damaged is missing, and what is missing is no error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from frostline import artifacts, digests, storage
from frostline.errors import DataError
from frostline.features import packs
from frostline.features.packs import Layout, Writer

from tests.support.feature_packs import LAYOUT, ids_of, opened, rows_of, write


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_rows_come_back_bit_for_bit_in_any_order(root, tmp_path, dtype):
    layout = Layout((2, 3), dtype)
    write(root, 7, layout=layout)
    rows, order = rows_of(7, layout), [5, 0, 6, 3]
    with opened(root, tmp_path, layout=layout) as reader:
        found = reader.read([ids_of(7)[place] for place in order])
    assert (found.dtype, found.shape) == (rows.dtype, (4, 2, 3))
    assert found.tobytes() == rows[order].tobytes()


def test_a_second_writer_adds_what_is_new(root, tmp_path):
    first = write(root, 4)
    second = write(root, 3, first=4, seed=1)
    assert sorted([*first, *second]) == packs.names(root)
    assert packs.names_by_image(root, LAYOUT) == dict.fromkeys(ids_of(4), first) | dict.fromkeys(ids_of(3, 4), second)
    with opened(root, tmp_path) as reader:
        assert set(reader.ids) == set(ids_of(7))
        assert reader.read(ids_of(1, 5)).tobytes() == rows_of(3, seed=1)[1].tobytes()


def test_full_packs_are_safe_before_the_writer_is_done(root):
    with (
        pytest.raises(RuntimeError, match="killed"),
        Writer(root, LAYOUT, computed_on="CPU", pack_bytes=2 * LAYOUT.row_bytes) as writer,
    ):
        writer.add(ids_of(5), rows_of(5))
        raise RuntimeError("killed")
    assert set(packs.names_by_image(root, LAYOUT)) == set(ids_of(4))


def test_the_same_rows_written_again_are_one_pack(root):
    assert write(root, 4) == write(root, 4)
    assert len(packs.names(root)) == 1


def test_every_flipped_byte_of_the_rows_is_found_and_costs_one_row(tmp_path):
    root = str(tmp_path)
    (name,) = write(root, 4)
    path = tmp_path / f"{name}.bin"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with opened(root, tmp_path) as reader:
            assert (len(reader.ids), reader.damaged) == (3, 1)
            assert ids_of(4)[place // LAYOUT.row_bytes] not in reader.ids
    assert len(whole) == 4 * LAYOUT.row_bytes


def test_every_flipped_byte_of_a_sidecar_is_found_and_costs_the_pack(tmp_path):
    root = str(tmp_path)
    (name,) = write(root, 2)
    path = tmp_path / f"{name}.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert packs.names_by_image(root, LAYOUT) == {}
        with opened(root, tmp_path) as reader:
            assert (dict(reader.ids), reader.damaged) == ({}, 1)


@pytest.mark.parametrize("left", [0, 1, 24, 60, 95])
def test_a_truncated_pack_keeps_its_whole_rows(tmp_path, left):
    (name,) = write(str(tmp_path), 4)
    path = tmp_path / f"{name}.bin"
    path.write_bytes(path.read_bytes()[:left])
    assert packs.names_by_image(str(tmp_path), LAYOUT) == {}
    with opened(str(tmp_path), tmp_path) as reader:
        assert set(reader.ids) == set(ids_of(left // LAYOUT.row_bytes))


@pytest.mark.parametrize("suffix", [".bin", ".json"])
def test_a_pack_without_one_of_its_files_does_not_exist(root, tmp_path, suffix):
    (name,) = write(root, 4)
    assert storage.delete(storage.join(root, f"{name}{suffix}"))
    assert packs.names(root) == []
    with opened(root, tmp_path, [name]) as reader:
        assert (dict(reader.ids), reader.damaged) == ({}, 1)
    write(root, 4)
    with opened(root, tmp_path) as reader:
        assert set(reader.ids) == set(ids_of(4))


@pytest.mark.parametrize("suffix", [".bin", ".json"])
def test_writing_a_damaged_pack_again_mends_it(root, tmp_path, suffix):
    (name,) = write(root, 4)
    storage.write_bytes(storage.join(root, f"{name}{suffix}"), b"x" * 96)
    write(root, 4)
    with opened(root, tmp_path) as reader:
        assert (set(reader.ids), reader.damaged) == (set(ids_of(4)), 0)


def forged(root, **changes):
    """A sidecar with any content and a seal that matches it."""
    content = {"shape": [2, 3], "dtype": "float32", "ids": ids_of(2), "digests": ids_of(2), **changes}
    name = digests.of_json(content["ids"])
    document = {**content, "seal": digests.of_json(content)}
    storage.write_bytes(storage.join(root, f"{name}.bin"), bytes(48))
    storage.write_bytes(storage.join(root, f"{name}.json"), artifacts.encode("feature_pack", document))
    return name


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": ["../../etc/passwd", "x"]},
        {"ids": ids_of(3)},
        {"ids": 7},
        {"ids": [1, 2]},
        {"digests": None},
        {"digests": ["", ""]},
        {"shape": [3, 2]},
        {"dtype": "float16"},
        {"more": 1},
    ],
)
def test_a_sidecar_that_says_something_else_is_damaged(tmp_path, changes):
    root = str(tmp_path / "root")
    name = forged(root, **changes)
    with opened(root, tmp_path, [name, "../escape", "nothing"]) as reader:
        assert (dict(reader.ids), reader.damaged) == ({}, 3)


def test_a_forged_sidecar_is_not_taken_at_another_name(tmp_path):
    root = str(tmp_path / "root")
    name = forged(root)
    other = Path(root) / f"{'b' * 64}.json"
    (Path(root) / f"{name}.json").rename(other)
    (Path(root) / f"{name}.bin").rename(other.with_suffix(".bin"))
    assert packs.names_by_image(root, LAYOUT) == {}


def test_packs_are_added_to_an_open_reader_and_its_rows_stay(root, tmp_path):
    first, second = write(root, 5), write(root, 4, first=3, seed=1)
    with opened(root, tmp_path, first) as reader:
        reader.add([*second, "0" * 64])  # the last one was evicted
        assert (set(reader.ids), reader.damaged) == (set(ids_of(7)), 1)
        assert reader.read(ids_of(5)).tobytes() == rows_of(5).tobytes()
        assert reader.read(ids_of(2, 5)).tobytes() == rows_of(4, seed=1)[2:].tobytes()


def test_a_missing_row_is_named(root, tmp_path):
    write(root, 2)
    with opened(root, tmp_path) as reader, pytest.raises(DataError, match="has no features of the image"):
        reader.read(ids_of(3))


def test_places_are_found_once_and_read_many_times_in_any_order(root, tmp_path):
    first, second = write(root, 5), write(root, 4, first=5, seed=1)
    rows = np.concatenate([rows_of(5), rows_of(4, seed=1)])
    with opened(root, tmp_path, [*first, *second]) as reader:
        places = reader.locate(ids_of(9))
        for order in ([8, 0, 4, 5], [3], []):
            assert reader.read_at(places[order]).tobytes() == rows[order].tobytes()
        with pytest.raises(DataError, match=f"has no features of the image {ids_of(1, 9)[0]}$"):
            reader.locate(ids_of(10))


def test_the_row_of_a_pack_that_was_truncated_after_its_check_is_named(tmp_path):
    (name,) = write(str(tmp_path), 4)
    with opened(str(tmp_path), tmp_path) as reader:
        os.truncate(tmp_path / f"{name}.bin", 3 * LAYOUT.row_bytes - 1)
        assert reader.read(ids_of(2)).tobytes() == rows_of(2).tobytes()
        with pytest.raises(DataError, match=f"has no features of the image {ids_of(1, 2)[0]}$"):
            reader.read(ids_of(4))


def test_rows_of_any_strides_are_stored_in_order_and_converted(tmp_path):
    rows = np.asfortranarray(np.random.default_rng(0).normal(size=(8, 2, 3)))[::2]
    with Writer(str(tmp_path), LAYOUT, computed_on="CPU") as writer:
        writer.add(ids_of(4), rows)
    with opened(str(tmp_path), tmp_path) as reader:
        assert (len(reader.ids), reader.damaged) == (4, 0)
        assert reader.read(ids_of(4)).tobytes() == rows.astype(np.float32).tobytes()


def test_readers_have_the_same_digest_if_they_give_the_same_bits(tmp_path):
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        write(str(tmp_path / name), 3, seed=seed)
    found = {}
    for name in ("one", "same", "other"):
        with opened(str(tmp_path / name), tmp_path) as reader:
            found[name] = reader.digest
    assert found["one"] == found["same"] != found["other"]


_READ_ALL = """
import json, resource, sys
from pathlib import Path
from frostline.features.packs import Layout, Reader
root, scratch = sys.argv[1:]
with Reader(root, None, Layout((256, 1024), "float32"), Path(scratch)) as reader:
    ids = list(reader.ids)
    for start in range(0, len(ids), 5):
        reader.read(ids[start : start + 5])
print(json.dumps([len(ids), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def test_memory_does_not_grow_with_the_rows(tmp_path):
    layout, peaks = Layout((256, 1024), "float32"), []
    for count in (20, 200):  # a megabyte each
        root = str(tmp_path / str(count))
        with Writer(root, layout, computed_on="CPU") as writer:
            for start in range(0, count, 10):
                writer.add(ids_of(10, start), rows_of(10, layout, start))
        command = [sys.executable, "-c", _READ_ALL, root, str(tmp_path)]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
        number, peak = json.loads(ended.stdout)
        assert number == count
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 30 * 1024  # kB; all rows are 200 MB


@pytest.mark.parametrize("value", ["NaN", "1e999", "[" * 900 + "]" * 900, "[" * 100_000 + "]" * 100_000])
def test_a_sidecar_that_no_writer_wrote_is_damaged_and_no_traceback(tmp_path, value):
    name = "c" * 64
    (tmp_path / f"{name}.bin").write_bytes(bytes(48))
    (tmp_path / f"{name}.json").write_text(f'{{"schema": "frostline/feature_pack/v1", "x": {value}}}')
    assert packs.names_by_image(str(tmp_path), LAYOUT) == {}
    with opened(str(tmp_path), tmp_path) as reader:
        assert (dict(reader.ids), reader.damaged) == ({}, 1)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
@pytest.mark.parametrize("part", ["bin", "json"])
def test_a_part_of_a_pack_that_is_no_file_is_missing(tmp_path, make, part):
    (name,) = write(str(tmp_path), 4)
    (tmp_path / f"{name}.{part}").unlink()
    make(tmp_path / f"{name}.{part}")
    with opened(str(tmp_path), tmp_path, [name]) as reader:
        assert (dict(reader.ids), reader.damaged) == ({}, 1)


def test_rows_of_another_shape_are_refused(tmp_path):
    with (
        pytest.raises(DataError, match=r"shape \(5,\); expected \(2, 3\)"),
        Writer(str(tmp_path), LAYOUT, computed_on="CPU") as writer,
    ):
        writer.add(ids_of(4), np.zeros((4, 5)))
