"""SHA-256 digests of bytes, files and JSON values, in lower-case hexadecimal."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from frostline.files import open_regular


def of_bytes(data: bytes | memoryview) -> str:
    """SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """SHA-256 of the content of a file, read in blocks; raises as `files.open_regular` does."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> bytes:
    """A unique encoding of a value: keys sorted, no spaces, integral floats as integers.

    KFP passes every number of a dict as a double and reorders keys, so `{"a": 3}` and `{"a": 3.0}` must agree.
    """
    return json.dumps(_integral(value), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def of_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    return of_bytes(canonical_json(value))


def _integral(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {str(key): _integral(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_integral(item) for item in value]
    return value
