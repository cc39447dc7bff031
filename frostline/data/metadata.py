"""What is known about images besides their pixels: `metadata.csv` next to the class folders, in ImageFolder's format.

The column `file_name` is a path relative to the table's folder, with forward slashes; all other columns are kept as
text.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence

from frostline import storage
from frostline.errors import DataError
from frostline.text import one_line

FILE = "metadata.csv"
LABEL = "label"  # the column that names the classes where folders do not
CLASSES = "true label"  # the column under which a comparison lists the classes among its slices
_KEY = "file_name"
_MOST_COLUMNS = 64
_LONGEST = 200  # characters of a name or value, which must fit into a table


def read(root: str, tables: Sequence[str], source: str) -> dict[str, dict[str, str]]:
    """Read the tables of a source: {path of an image relative to the source: {column: value}}.

    Args:
        root: address of the source.
        tables: the metadata files that it has, at most one in each folder.
        source: as configured, for messages.

    Raises:
        DataError: a folder has two tables, or a table cannot be used (see `parse`).
        StorageError: it cannot be read.
    """
    found: dict[str, dict[str, str]] = {}
    read_from: dict[str, str] = {}
    for table in tables:
        folder, separator, name = table.rpartition("/")
        if read_from.setdefault(folder, table) != table:
            raise DataError(f"{source}: received {read_from[folder]} and {table}; expected one of them")
        data, origin = storage.read_bytes(f"{root}/{table}"), f"{source}: {table}"
        rows = parse(data if name == FILE else _csv_of_lines(data, origin), origin)
        found |= {f"{folder}{separator}{path}": values for path, values in rows.items()}
    return found


def has_labels(described: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a table has the column that names the classes."""
    return any(LABEL in values for values in described.values())


def _csv_of_lines(data: bytes, origin: str) -> bytes:
    """metadata.jsonl as the same table in CSV; lists and mappings are left out, since they are no categories."""
    rows: list[dict[str, str]] = []
    for number, line in enumerate(data.decode("utf-8-sig", "replace").split("\n"), start=1):
        try:
            row = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{origin}: line {number}: is not JSON ({error})") from error
        if row is not None and not isinstance(row, dict):
            raise DataError(f"{origin}: line {number}: received {str(row)[:_LONGEST]!r}; expected an object")
        if row:
            rows.append({str(key): _text(value) for key, value in row.items() if not isinstance(value, list | dict)})
    columns = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode(errors="replace")  # JSON can write halves of surrogate pairs


def _shown(text: str) -> str:
    """A value as pages and logs can show it: line breaks and controls become spaces."""
    return text.strip() if text.isprintable() else one_line(text, len(text))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def parse(data: bytes, origin: str) -> dict[str, dict[str, str]]:
    """Parse the table; blank lines are skipped, and values missing at the end of a row are empty.

    Args:
        data: CSV in UTF-8, with or without a byte order mark.
        origin: names the file in messages.

    Returns:
        {file_name: {column: value}}, columns sorted by name, surrounding spaces removed.

    Raises:
        DataError: the table is not CSV in UTF-8, has no column file_name, a duplicate or unnamed column, more than 64
            columns or a value longer than 200 characters; or a row has more fields than there are columns, or the
            file_name of another row.
    """
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        columns = [_shown(name) for name in next(reader, [])]
        _check_columns(columns, origin)
        found: dict[str, dict[str, str]] = {}
        for fields in reader:
            if fields:
                name, values = _row(columns, fields, f"{origin}: line {reader.line_num}")
                if name in found:
                    raise DataError(f"{origin}: line {reader.line_num}: {_KEY}: received {name!r} twice")
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
            f"{origin}: line 1: received {len(columns)} columns, and {first!r} as number {_MOST_COLUMNS + 1}; "
            f"expected at most {_MOST_COLUMNS}"
        )
    for number, name in enumerate(columns, start=1):
        if not name or name in (*columns[: number - 1], CLASSES) or len(name) > _LONGEST:
            raise DataError(
                f"{origin}: line 1: column {number}: received {name[:_LONGEST]!r}; expected a unique name of 1 to "
                f"{_LONGEST} characters other than {CLASSES!r}"
            )


def _row(columns: Sequence[str], fields: Sequence[str], where: str) -> tuple[str, dict[str, str]]:
    """An image's path, and its values by column."""
    if len(fields) > len(columns):
        raise DataError(f"{where}: received {len(fields)} fields; expected {len(columns)}, one per column")
    padded = [*fields, *[""] * (len(columns) - len(fields))]
    values = {column: _shown(field) for column, field in sorted(zip(columns, padded, strict=True))}
    for column, value in values.items():
        if len(value) > _LONGEST and column != _KEY:
            raise DataError(
                f"{where}: column {column!r}: received {len(value)} characters; expected at most {_LONGEST}"
            )
    return values.pop(_KEY), values
