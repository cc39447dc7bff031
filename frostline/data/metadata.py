"""What is known of images beside their pixels: a `metadata.csv` at the root of class folders, as ImageFolder has it.

Its column `file_name` is a path below the root with forward slashes; every further column is kept as text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from frostline.errors import DataError

FILE = "metadata.csv"
CLASSES = "true label"  # what a comparison calls the classes among its slices
_KEY = "file_name"
_MOST_COLUMNS = 64
_LONGEST = 200  # characters of a value: what a table and a slice can be named by


def parse(data: bytes, origin: str) -> dict[str, dict[str, str]]:
    """Read the table; blank lines are passed over, and a row that ends early has empty values.

    Args:
        data: the file's bytes: CSV in UTF-8, with or without a byte order mark.
        origin: names the file in messages.

    Returns:
        {file_name: {column: value}}, columns sorted, outer spaces removed.

    Raises:
        DataError: the table is not UTF-8 or no CSV, has no column file_name, one twice or one without a name, more
            than 64 columns or a value of more than 200 characters; or a row has more fields than there are columns,
            or the file_name of another.
    """
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        columns = [name.strip() for name in next(reader, [])]
        _check_columns(columns, origin)
        found: dict[str, dict[str, str]] = {}
        for fields in reader:
            if fields:
                name, values = _row(columns, fields, f"{origin}: line {reader.line_num}")
                if name in found:
                    raise DataError(f"{origin}: line {reader.line_num}: {_KEY}: received {name!r} for a second time")
                found[name] = values
    except UnicodeDecodeError as error:
        raise DataError(f"{origin}: byte {error.start} is not UTF-8; save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{origin}: line {reader.line_num}: is not CSV ({error})") from error
    return found


def _check_columns(columns: Sequence[str], origin: str) -> None:
    if _KEY not in columns:
        received = ", ".join(map(repr, columns[:5])) or "nothing"
        raise DataError(f"{origin}: line 1: received the columns {received[:_LONGEST]}; expected {_KEY} among them")
    if len(columns) > _MOST_COLUMNS:
        first = columns[_MOST_COLUMNS][:_LONGEST]
        raise DataError(
            f"{origin}: line 1: received {len(columns)} columns; expected at most {_MOST_COLUMNS}, {first!r} is beyond"
        )
    for number, name in enumerate(columns, start=1):
        if not name or name in (*columns[: number - 1], CLASSES) or len(name) > _LONGEST:
            raise DataError(
                f"{origin}: line 1: column {number}: received {name[:_LONGEST]!r}; expected a name of its own of 1 to "
                f"{_LONGEST} characters, and not {CLASSES!r}"
            )


def _row(columns: Sequence[str], fields: Sequence[str], where: str) -> tuple[str, dict[str, str]]:
    """One image's path, and its values by column."""
    if len(fields) > len(columns):
        raise DataError(f"{where}: received {len(fields)} fields; expected {len(columns)}, one for each column")
    padded = [*fields, *[""] * (len(columns) - len(fields))]
    values = {column: field.strip() for column, field in sorted(zip(columns, padded, strict=True))}
    for column, value in values.items():
        if len(value) > _LONGEST and column != _KEY:
            raise DataError(
                f"{where}: column {column!r}: received {len(value)} characters; expected at most {_LONGEST}"
            )
    return values.pop(_KEY), values
