"""Kept predictions: what is written is read, the same bytes each time, and nothing else is taken for them."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frostline.errors import DataError
from frostline.evaluation import kept_predictions

from tests.support.parquet import write_predictions

LABELS = ["amber", "cobalt", "jade – grün"]


def written(directory, rows):
    write_predictions(directory, rows)
    kept_predictions.write(directory / kept_predictions.FILE, directory, LABELS)
    return (directory / kept_predictions.FILE).read_bytes()


def test_the_label_of_every_image_comes_back_by_its_digest(tmp_path):
    data = written(tmp_path, [("a" * 64, 2), ("b" * 64, 0), ("c" * 64, 2)])
    labels, predicted = kept_predictions.read(data)
    assert labels == LABELS  # also those that were never predicted
    assert predicted == {"a" * 64: "jade – grün", "b" * 64: "amber", "c" * 64: "jade – grün"}


def test_the_same_predictions_are_the_same_bytes(tmp_path):
    """A repeated push stores them again."""
    rows = [(f"{number:064x}", number % 3) for number in range(500)]
    assert written(tmp_path, rows) == written(tmp_path, rows)
    assert len(written(tmp_path, rows)) < 60_000


def other():
    buffer = io.BytesIO()
    pq.write_table(pa.table({"sha256": ["a"], "predicted": ["amber"]}), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("data", [b"", b"PAR1", b"x" * 100, other()])
def test_anything_else_is_refused(data):
    with pytest.raises(DataError, match="the kept predictions cannot be read"):
        kept_predictions.read(data)
