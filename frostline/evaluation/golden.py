"""The golden batch: a few test images with the probabilities that were measured, published with the model.

A stored version proves that it serves by predicting them again, in the loader that servers use.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from numpy.typing import NDArray

from frostline.errors import DataError, StorageError
from frostline.model.serving import TRANSIENT, Served
from frostline.text import one_line

FILE = "golden.parquet"
SIZE = 8  # images
TOLERANCE = 1e-5  # of a probability, absolutely: what another machine's arithmetic may make of the same weights
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
        raise DataError(f"{path}: cannot be read: {one_line(error, 200)}") from error
    if probabilities.ndim != 2:
        raise DataError(f"{path}: expected at least one image, with as many probabilities for each")
    return table.column("image_bytes").to_pylist(), probabilities


def require_reproduced(directory: Path) -> None:
    """Let a version predict the golden batch that it was published with.

    Args:
        directory: of the version, on this machine.

    Raises:
        DataError: it cannot be loaded or run, or its probabilities differ by more than TOLERANCE.
        StorageError: it could not be tried, which says nothing about it.
    """
    images, expected = read(directory)
    try:
        with Served(directory) as served:
            received = served.predict(images)
    except TRANSIENT as error:
        raise StorageError(f"the golden batch cannot be predicted now: {one_line(error)}") from error
    except tf.errors.OpError as error:
        raise DataError(f"the golden batch cannot be predicted: {one_line(error.message)}") from error
    if received.shape != expected.shape:
        raise DataError(f"the golden batch: received {received.shape} probabilities; expected {expected.shape}")
    difference = float(np.abs(received - expected).max())
    if not difference <= TOLERANCE:  # nor NaN
        raise DataError(f"the golden batch: a probability differs by {difference:.3g}; expected at most {TOLERANCE:g}")
