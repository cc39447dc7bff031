"""The golden batch comes back bit for bit, or it is an error."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frostline.documents.evaluation import GOLDEN_FILE
from frostline.errors import DataError
from frostline.evaluation import golden


def test_images_and_probabilities_come_back_bit_for_bit(tmp_path):
    images = [b"\xff\xd8\x00one", b"two"]
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], 2).astype(np.float32)
    golden.write(tmp_path, images, probabilities)
    found, expected = golden.read(tmp_path)
    assert found == images
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(expected, probabilities)


def test_a_damaged_batch_is_told_in_one_line(tmp_path):
    golden.write(tmp_path, [b"one"] * 40, np.ones((40, 2), np.float32))
    path = tmp_path / GOLDEN_FILE
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"golden\.parquet: cannot be read: [^\n]+$"):
        golden.read(tmp_path)


@pytest.mark.parametrize("probabilities", [[], [[0.5, 0.5], [1.0]]], ids=["empty", "uneven"])
def test_a_batch_that_proves_nothing_is_refused(tmp_path, probabilities):
    schema = pa.schema([("image_bytes", pa.binary()), ("probabilities", pa.list_(pa.float32()))])
    images = [b"image"] * len(probabilities)
    pq.write_table(pa.table({"image_bytes": images, "probabilities": probabilities}, schema), tmp_path / GOLDEN_FILE)
    with pytest.raises(DataError, match=r"golden\.parquet"):
        golden.read(tmp_path)
