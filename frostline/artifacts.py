"""Files between steps: JSON with a schema, JSON lines, and atomic writes.

Every JSON file carries `schema: frostline/<kind>/v1`, and a reader refuses any other; `frostline.documents` lists the
kinds. A file is written whole or not at all, by the writer of `frostline.storage`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from frostline import storage
from frostline.errors import DataError, StorageError
from frostline.files import open_regular

Json = dict[str, Any]


def schema(kind: str) -> str:
    """The schema identifier of a kind of file: `frostline/<kind>/v1`."""
    return f"frostline/{kind}/v1"


def write_file(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all; parent directories are made.

    Raises:
        StorageError: the disk is full, or the place cannot be written.
    """
    storage.write_bytes(str(path), data)


def write_json(path: Path, kind: str, payload: Mapping[str, Any]) -> None:
    """Write `payload` as a readable JSON file of the given kind."""
    write_file(path, encode(kind, payload))


def encode(kind: str, payload: Mapping[str, Any]) -> bytes:
    """The bytes that `write_json` writes."""
    return (json.dumps({"schema": schema(kind), **payload}, indent=2, allow_nan=False) + "\n").encode()


def read_json(path: Path, kind: str) -> Json:
    """Read a JSON file and check its schema.

    Raises:
        DataError: the file is missing, cannot be read, is not JSON, or has another schema.
    """
    data = _read(path, f"; expected a {schema(kind)} file")
    return parse(data, kind, str(path))


def parse(data: bytes, kind: str, origin: str) -> Json:
    """Parse a JSON object and check its schema; `origin` names it in messages.

    Raises:
        DataError: as `parse_json`, or it has another schema.
    """
    document = parse_json(data, origin)
    if document.get("schema") != schema(kind):
        raise DataError(f"{origin}: received schema {document.get('schema')!r}; this version reads {schema(kind)!r}")
    return document


def parse_json(data: bytes, origin: str) -> Json:
    """Parse a JSON object; `origin` names it in messages.

    Raises:
        DataError: the bytes are not a JSON object, or are ambiguous: a duplicate key, NaN or an infinity.
    """
    try:
        document = json.loads(data, object_pairs_hook=_each_key_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{origin}: is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise DataError(f"{origin}: received a JSON {type(document).__name__}; expected an object")
    return document


def _each_key_once(pairs: list[tuple[str, Any]]) -> Json:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("duplicate key")
    return document


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line."""
    write_file(path, "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode())


def read_jsonl(path: Path) -> Iterator[Json]:
    """Yield one object per line.

    Raises:
        DataError: the file is missing, cannot be read, or a line is not JSON.
    """
    try:
        lines = _read(path).decode().splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({error})") from error
    for number, line in enumerate(lines, start=1):
        try:
            yield json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}: line {number} is not JSON ({error})") from error


def _read(path: Path, expected: str = "") -> bytes:
    try:
        with open_regular(path) as file:
            return file.read()
    except FileNotFoundError:
        raise DataError(f"{path}: is missing{expected}") from None
    except StorageError as error:
        raise DataError(str(error)) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
