"""Which images a model was made with; every version carries the list, so later tests can exclude these images.

The list includes the images of the version that the initial weights came from, and so on back to the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from frostline.documents.data import IMAGES_FILE
from frostline.errors import DataError
from frostline.text import one_line

FILE = IMAGES_FILE
BEFORE = "before"  # the split of images that an earlier version was made with
_SCHEMA = pa.schema([("sha256", pa.binary(32)), ("split", pa.string())])


def write(directory: Path, splits: Mapping[str, Iterable[str]]) -> None:
    """Write images.parquet, sorted, so that equal content gives equal bytes.

    Args:
        directory: where the file goes.
        splits: SHA-256 digests (hexadecimal) of the images in each split.
    """
    rows = sorted((identifier, split) for split, identifiers in splits.items() for identifier in set(identifiers))
    columns = {"sha256": [bytes.fromhex(one) for one, _ in rows], "split": [split for _, split in rows]}
    pq.write_table(pa.table(columns, _SCHEMA), directory / FILE)


def read(directory: Path) -> set[str]:
    """Read the SHA-256 digests (hexadecimal) of all images that the weights, or their selection, depend on.

    These are the training and validation images, and those of earlier versions.

    Raises:
        DataError: the file is missing or is not such a table.
    """
    path = directory / FILE
    try:
        table = pq.read_table(path, schema=_SCHEMA)
    except (OSError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{path}: cannot be read: {one_line(error, 200)}") from error
    if table.column("sha256").null_count:
        raise DataError(f"{path}: cannot be read: a row has no digest")
    return {one.hex() for one in table.column("sha256").to_pylist()}
