"""The golden batch: a few test images with the probabilities that were measured, published with the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from frostline.errors import DataError

FILE = "golden.parquet"
SIZE = 8  # images
_SCHEMA = pa.schema([("image_bytes", pa.binary()), ("probabilities", pa.list_(pa.float32()))])


def write(directory: Path, images: Sequence[bytes], probabilities: NDArray[np.float32]) -> None:
    """Write golden.parquet.

    Args:
        directory: where.
        images: encoded.
        probabilities: [len(images), classes] float32, as the export gave them.
    """
    columns = {"image_bytes": list(images), "probabilities": list(probabilities)}
    pq.write_table(pa.table(columns, _SCHEMA), directory / FILE)


def read(directory: Path) -> tuple[list[bytes], NDArray[np.float32]]:
    """The images, and [images, classes] float32.

    Raises:
        DataError: the file is missing, no such table, or empty.
    """
    path = directory / FILE
    try:
        table = pq.read_table(path, schema=_SCHEMA)
        probabilities = np.array(table.column("probabilities").to_pylist(), np.float32)
    except (OSError, ValueError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{path}: cannot be read: {' '.join(str(error).split())[:200]}") from error
    if probabilities.ndim != 2:
        raise DataError(f"{path}: expected at least one image, with as many probabilities for each")
    return table.column("image_bytes").to_pylist(), probabilities
