"""Which images a model was made with: carried by every version, so that no later test counts an image it has seen.

What a model was made with includes what the version was made with whose weights it started from, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from frostline.errors import DataError
from frostline.text import one_line

FILE = "images.parquet"
BEFORE = "before"  # the split of images that an earlier version was made with
_SCHEMA = pa.schema([("sha256", pa.binary(32)), ("split", pa.string())])


def write(directory: Path, splits: Mapping[str, Iterable[str]]) -> None:
    """Write images.parquet: the SHA-256 (hexadecimal) of each image by split, sorted: equal content is equal bytes."""
    rows = sorted((identifier, split) for split, identifiers in splits.items() for identifier in set(identifiers))
    columns = {"sha256": [bytes.fromhex(one) for one, _ in rows], "split": [split for _, split in rows]}
    pq.write_table(pa.table(columns, _SCHEMA), directory / FILE)


def read(directory: Path) -> set[str]:
    """The SHA-256 (hexadecimal) of every image that weights or their choice depended on: training, validation, before.

    Raises:
        DataError: the file is missing or no such table.
    """
    path = directory / FILE
    try:
        table = pq.read_table(path, schema=_SCHEMA)
    except (OSError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{path}: cannot be read: {one_line(error, 200)}") from error
    if table.column("sha256").null_count:
        raise DataError(f"{path}: cannot be read: it has no digest in every row")
    return {one.hex() for one in table.column("sha256").to_pylist()}
