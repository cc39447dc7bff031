"""The list of images that a model was made with, stored as digests next to the model."""

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frostline.data import lineage
from frostline.errors import DataError


def digest(name):
    return hashlib.sha256(name.encode()).hexdigest()


def test_training_and_validation_images_are_both_read(tmp_path):
    lineage.write(tmp_path, {"train": [digest("a"), digest("b")], "validation": [digest("c")]})
    assert lineage.read(tmp_path) == {digest("a"), digest("b"), digest("c")}


def test_equal_content_gives_equal_bytes(tmp_path):
    ids = [digest(str(number)) for number in range(100)]
    for name, order in (("one", ids), ("two", [*reversed(ids), ids[3]])):
        (tmp_path / name).mkdir()
        lineage.write(tmp_path / name, {"train": order, "validation": []})
    assert (tmp_path / "one" / lineage.FILE).read_bytes() == (tmp_path / "two" / lineage.FILE).read_bytes()


@pytest.mark.parametrize("data", [None, b"", b"no table"])
def test_a_missing_or_damaged_file_is_one_line(tmp_path, data):
    if data is not None:
        (tmp_path / lineage.FILE).write_bytes(data)
    with pytest.raises(DataError, match=r"images\.parquet: cannot be read: [^\n]+$"):
        lineage.read(tmp_path)


def test_another_table_is_refused(tmp_path):
    pq.write_table(pa.table({"other": [1]}), tmp_path / lineage.FILE)
    with pytest.raises(DataError, match="cannot be read"):
        lineage.read(tmp_path)


def test_a_row_without_a_digest_is_refused(tmp_path):
    schema = pa.schema([("sha256", pa.binary(32)), ("split", pa.string())])
    rows = {"sha256": [bytes(32), None], "split": ["train", "train"]}
    pq.write_table(pa.table(rows, schema), tmp_path / lineage.FILE)
    with pytest.raises(DataError, match="cannot be read: a row has no digest"):
        lineage.read(tmp_path)
