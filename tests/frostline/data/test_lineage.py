"""What a model was made with is carried beside it, as digests."""

import hashlib

import pytest

from frostline.data import lineage
from frostline.errors import DataError


def digest(name):
    return hashlib.sha256(name.encode()).hexdigest()


def test_training_and_validation_images_have_been_seen(tmp_path):
    lineage.write(tmp_path, {"train": [digest("a"), digest("b")], "validation": [digest("c")]})
    assert lineage.read(tmp_path) == {digest("a"), digest("b"), digest("c")}


def test_the_file_is_a_function_of_what_it_says(tmp_path):
    ids = [digest(str(number)) for number in range(100)]
    for name, order in (("one", ids), ("two", [*reversed(ids), ids[3]])):
        (tmp_path / name).mkdir()
        lineage.write(tmp_path / name, {"train": order, "validation": []})
    assert (tmp_path / "one" / lineage.FILE).read_bytes() == (tmp_path / "two" / lineage.FILE).read_bytes()


@pytest.mark.parametrize("data", [None, b"", b"no table"])
def test_a_file_that_is_none_is_told_in_one_line(tmp_path, data):
    if data is not None:
        (tmp_path / lineage.FILE).write_bytes(data)
    with pytest.raises(DataError, match=r"images\.parquet: cannot be read: [^\n]+$"):
        lineage.read(tmp_path)


def test_another_table_is_no_such_file(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"other": [1]}), tmp_path / lineage.FILE)
    with pytest.raises(DataError, match="cannot be read"):
        lineage.read(tmp_path)
