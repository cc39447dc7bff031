"""The predictions that are kept for a published model, so that it can be compared after its files are gone."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from frostline.documents.evaluation import PREDICTIONS_FILE
from frostline.errors import DataError
from frostline.text import one_line

FILE = "kept_predictions.parquet"
_LABELS = b"labels"  # key of the file's metadata


def write(path: Path, evaluation: Path, labels: list[str]) -> None:
    """Write the predicted label of every test image by the SHA-256 of the image.

    Args:
        path: to write to.
        evaluation: directory with predictions.parquet.
        labels: class names, by index.

    Raises:
        OSError, pyarrow.ArrowException: predictions.parquet cannot be read.
    """
    table = pq.read_table(evaluation / PREDICTIONS_FILE, columns=["sha256", "predicted"])
    predicted = pa.DictionaryArray.from_arrays(table["predicted"].combine_chunks(), pa.array(labels))
    kept = pa.table({"sha256": table["sha256"], "predicted": predicted})
    pq.write_table(kept.replace_schema_metadata({_LABELS: json.dumps(labels)}), path)


def read(data: bytes) -> tuple[list[str], dict[str, str]]:
    """The model's labels, and the predicted one by the SHA-256 of the image.

    Raises:
        DataError: the data are not what `write` writes.
    """
    try:
        table = pq.read_table(io.BytesIO(data))
        labels = json.loads(table.schema.metadata[_LABELS])
        return labels, dict(zip(table["sha256"].to_pylist(), table["predicted"].to_pylist(), strict=True))
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise DataError(f"the kept predictions cannot be read: {one_line(error)}") from error
