"""The golden batch: a few test images and the model's probabilities for them, published with the model.

Before a stored version goes into production, it must reproduce these probabilities, loaded as a server loads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from numpy.typing import NDArray

from frostline import digests
from frostline.artifacts import parse_json
from frostline.documents.evaluation import GOLDEN_FILE
from frostline.errors import DataError, StorageError
from frostline.events import say
from frostline.model import arithmetic
from frostline.model.serving import TRANSIENT, Served
from frostline.text import one_line

SIZE = 8  # images
# Absolute differences of a probability. Measured with InceptionV3 on 400 photos: other kernels on one CPU moved them by
# 1.3e-6, operands rounded to 10 bits, as devices with TensorFloat-32 do, by 2.3e-3.
TOLERANCE = 1e-5  # more is told
BROKEN_HERE = 1e-3  # more is another model, where the same kind of device computed both
BROKEN = 2e-2  # more is another model in any case
_ARITHMETIC = b"frostline.arithmetic"  # in the table's metadata: what computed the probabilities
_SCHEMA = pa.schema([("image_bytes", pa.binary()), ("probabilities", pa.list_(pa.float32()))])


def write(directory: Path, images: Sequence[bytes], probabilities: NDArray[np.float32]) -> None:
    """Write golden.parquet.

    Args:
        directory: where to write it.
        images: encoded images.
        probabilities: [len(images), classes] float32, from the export.
    """
    columns = {"image_bytes": list(images), "probabilities": list(probabilities)}
    made = digests.canonical_json(arithmetic.of_serving())
    pq.write_table(pa.table(columns, _SCHEMA.with_metadata({_ARITHMETIC: made})), directory / GOLDEN_FILE)


def read(directory: Path) -> tuple[list[bytes], NDArray[np.float32]]:
    """The encoded images and their probabilities, [images, classes] float32.

    Raises:
        DataError: the file is missing, is not such a table, or is empty.
    """
    path = directory / GOLDEN_FILE
    try:
        table = pq.read_table(path, schema=_SCHEMA)
        probabilities = np.array(table.column("probabilities").to_pylist(), np.float32)
    except (OSError, ValueError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{path}: cannot be read: {one_line(error, 200)}") from error
    if probabilities.ndim != 2:
        raise DataError(f"{path}: expected at least one image, and equally many probabilities for each")
    return table.column("image_bytes").to_pylist(), probabilities


def _made_by(directory: Path) -> dict[str, Any]:
    """What computed the golden batch, as far as the file says; an earlier version did not write it."""
    found = (pq.read_schema(directory / GOLDEN_FILE).metadata or {}).get(_ARITHMETIC)
    try:
        return parse_json(found, GOLDEN_FILE) if found else {}
    except DataError:
        return {}


def require_reproduced(directory: Path) -> None:
    """Check that a version reproduces the golden batch that it was published with.

    Args:
        directory: the version's directory, on this machine.

    Raises:
        DataError: it cannot be loaded or run, or its probabilities differ by more than arithmetic explains: on the
            same kind of device as then by BROKEN_HERE, on another one by BROKEN. A difference above TOLERANCE is
            logged.
        StorageError: this could not be tried now, which says nothing about the version.
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
        raise DataError(
            f"the golden batch: received probabilities of shape {received.shape}; expected {expected.shape}"
        )
    difference = float(np.abs(received - expected).max())
    made, here = _made_by(directory), arithmetic.of_serving()
    limit = BROKEN_HERE if made == here else BROKEN
    devices = f"computed on {one_line(str(made.get('device', 'an unknown device')), 100)}, and here on {here['device']}"
    if not difference <= limit:  # true for NaN too
        raise DataError(
            f"the golden batch: a probability differs by {difference:.3g}; expected at most {limit:g}; {devices}"
        )
    if difference > TOLERANCE:
        say(
            f"the golden batch: a probability differs by {difference:.3g}, which is no sign of another model; {devices}"
        )
