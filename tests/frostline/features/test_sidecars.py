"""A sidecar is byte for byte what was written for its name and layout, or it counts as none."""

import json

import pytest

from frostline import digests
from frostline.documents.features import FEATURE_PACK
from frostline.features import sidecars
from frostline.features.sidecars import Layout

LAYOUT = Layout((2, 3), "bfloat16")
IDS, ROWS = ["a" * 64, "b" * 64], ["c" * 64, "d" * 64]
NAME = digests.of_json(IDS)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / f"{NAME}.json"
    path.write_bytes(FEATURE_PACK.encode(sidecars.sealed(LAYOUT, IDS, ROWS, "CPU")))
    return path


def test_a_layout_says_how_large_a_row_is_and_survives_json():
    assert LAYOUT.row_bytes == 2 * 3 * 2
    assert Layout((7,), "float32").row_bytes == 28
    assert Layout.read(json.loads(json.dumps(LAYOUT.document()))) == LAYOUT


def test_what_was_written_is_read(written, tmp_path):
    found = sidecars.read(str(tmp_path), NAME, LAYOUT)
    assert (found["ids"], found["digests"], found["computed_on"]) == (IDS, ROWS, "CPU")


@pytest.mark.parametrize("layout", [Layout((3, 2), "bfloat16"), Layout((2, 3), "float16")])
def test_rows_of_another_layout_are_none(written, tmp_path, layout):
    assert sidecars.read(str(tmp_path), NAME, layout) is None


def test_each_changed_byte_makes_it_none(written, tmp_path):
    data = written.read_bytes()
    for place in range(len(data)):
        written.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert sidecars.read(str(tmp_path), NAME, LAYOUT) is None
    written.write_bytes(data)
    assert sidecars.read(str(tmp_path), NAME, LAYOUT) is not None
