"""Checkpoints of a training: one object each, named by its step and the digest of its content.

`STEP.DIGEST.npz`: STEP in twelve digits, DIGEST the SHA-256 of the bytes, which are an uncompressed .npz of NumPy.
Its entry `document` holds the state and the arrays' names as UTF-8 JSON; the arrays are `arr_0`, `arr_1` and so on.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from frostline import digests, storage
from frostline.artifacts import parse_json, schema
from frostline.errors import DataError, NotFound, StorageError
from frostline.events import say
from frostline.text import one_line

_NAME = re.compile(r"(\d{12})\.([0-9a-f]{64})\.npz")
_DIGEST = re.compile("[0-9a-f]{64}")
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)  # NumPy's format knows no such type: it is stored as uint16
_EXTENSION = 2  # `isbuiltin` of a type that another package registered; those of ml_dtypes pass for NumPy's own
# What zipfile, NumPy and the parser raise for bytes that `save` did not write.
_BAD_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError)
_MALFORMED = (*_BAD_ZIP, DataError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Checkpoint:
    """The arguments of `Checkpoints.save`, bit for bit, and the address of the object."""

    step: int
    arrays: dict[str, NDArray[Any]]
    state: dict[str, Any]
    uri: str


@dataclass(frozen=True, order=True)
class _Entry:
    """A stored object that has not been opened."""

    step: int
    digest: str
    uri: str


def place(store: str, fingerprint: str) -> str:
    """The directory or prefix for the checkpoints of a training.

    Args:
        store: root of the store.
        fingerprint: digest of what the training's bits depend on; it may come from a document.

    Raises:
        DataError: it is no digest: the result would be another directory.
    """
    if not _DIGEST.fullmatch(fingerprint):
        raise DataError(f"received the fingerprint {one_line(fingerprint)!r} of a training; expected a SHA-256 digest")
    return storage.join(store, "checkpoints", fingerprint)


class Checkpoints:
    """The checkpoints of one training, in a directory or under a gs:// prefix of their own."""

    def __init__(self, root: str, *, keep: int = 3) -> None:
        """Take the directory or prefix, which need not exist.

        Args:
            root: directory or gs:// prefix.
            keep: number of checkpoints to keep, including the newest. With 3, the newest may be from
                just before the loss became NaN, and one may be damaged.
        """
        self._root, self._keep = root, keep

    def save(self, step: int, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> str:
        """Store a checkpoint, whole or not at all, and then remove all but the newest `keep`.

        Args:
            step: number of finished steps, below 1e12.
            arrays: by name, of any shape: integers, floats, complex numbers, bool or bfloat16.
            state: JSON without infinities and NaN; numbers and the order of keys are preserved.

        Returns:
            The checkpoint's address.

        Raises:
            DataError: an array has another type, such as objects or text.
            StorageError: it cannot be written; older checkpoints are unchanged.
            ValueError: `state` is not JSON.
        """
        with self._scratch("written") as directory:
            path = directory / "checkpoint.npz"
            _write(path, step, arrays, state)
            digest = digests.of_file(path)
            uri = storage.join(self._root, f"{step:012d}.{digest}.npz")
            storage.upload_file(path, uri)
        # Later steps than this one are damaged or belong to another process: no reason to remove older ones.
        older = [entry for entry in self._entries() if entry.step <= step and entry.digest != digest]
        for entry in older[self._keep - 1 :]:
            storage.delete(entry.uri)
        return uri

    def latest(self, before: int | None = None) -> Checkpoint | None:
        """The newest intact checkpoint, None if there is none; damaged ones are skipped with a log line.

        Args:
            before: only those of earlier steps than this one; None for all.

        Raises:
            StorageError: the storage or the temporary directory cannot be used.
        """
        for entry in self._entries():
            if before is not None and entry.step >= before:
                continue
            with self._scratch("read") as directory:
                try:
                    return _read(entry, storage.localize(entry.uri, directory))
                except (FileNotFoundError, NotFound):
                    continue  # another process removed it since it was listed
                except DataError as error:
                    say(f"{error}; skipping it")
        return None

    def clear(self, keep: int = 0) -> None:
        """Remove every checkpoint but the newest `keep`; another process may do the same at once.

        Raises:
            StorageError: one cannot be removed.
        """
        for entry in self._entries()[keep:]:
            storage.delete(entry.uri)

    def note(self, name: str, document: Mapping[str, object]) -> str:
        """Write a JSON document for people beside the checkpoints, and return its address; `clear` keeps it."""
        uri = storage.join(self._root, name)
        storage.write_bytes(uri, json.dumps(document, indent=2).encode())
        return uri

    def _entries(self) -> list[_Entry]:
        """The stored checkpoints, newest first."""
        found = ((_NAME.fullmatch(item.uri.rpartition("/")[2]), item.uri) for item in storage.list_files(self._root))
        return sorted((_Entry(int(match[1]), match[2], uri) for match, uri in found if match), reverse=True)

    @contextmanager
    def _scratch(self, what: str) -> Iterator[Path]:
        """A temporary directory for files; an OSError becomes a StorageError of one line."""
        try:
            with tempfile.TemporaryDirectory(prefix="frostline-checkpoint-") as name:
                yield Path(name)
        except OSError as error:
            way = f"cannot be {what} by way of {tempfile.tempdir or 'the temporary directory'}"
            raise StorageError(f"{self._root}: a checkpoint {way}: {error.strerror or error}") from error


def _write(path: Path, step: int, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> None:
    """Equal arguments give equal bytes: NumPy gives its entries a constant time."""
    document = {
        "schema": schema("checkpoint"),
        "step": step,
        "names": list(arrays),
        "bfloat16": [name for name, array in arrays.items() if array.dtype == _BFLOAT16],
        "state": state,
    }
    encoded = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    np.savez(path, *(_plain(*item) for item in arrays.items()), document=np.frombuffer(encoded, np.uint8))


def _plain(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array in a type that NumPy's format supports, without a copy."""
    if array.dtype == _BFLOAT16:
        return array.view(np.uint16)
    if array.dtype.kind not in "biufc" or array.dtype.isbuiltin == _EXTENSION:
        raise DataError(f"{name}: received an array of {array.dtype}; a checkpoint holds numbers, bool and bfloat16")
    return array


def _read(entry: _Entry, path: Path) -> Checkpoint:
    """Read through one open file, so that its removal meanwhile does no harm.

    Raises:
        DataError: the content does not match the name, or is not a checkpoint of this version.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != entry.digest:
            raise DataError(
                f"{entry.uri}: is damaged: its SHA-256 is {digest[:12]}…; its name says {entry.digest[:12]}…"
            )
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                return Checkpoint(entry.step, *_contents(archive, entry), entry.uri)
        except _MALFORMED as error:
            raise DataError(f"{entry.uri}: is not a checkpoint of this version: {one_line(error)}") from error


def _contents(archive: Any, entry: _Entry) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    document = parse_json(archive["document"].tobytes(), "its document")
    received = (document["schema"], document["step"])
    if received != (schema("checkpoint"), entry.step):
        raise ValueError(f"received schema and step {received}; expected {(schema('checkpoint'), entry.step)}")
    names = document["names"]
    if sorted(archive.files) != sorted(["document", *(f"arr_{index}" for index in range(len(names)))]):
        raise ValueError(f"received the entries {archive.files}; expected document and {len(names)} arrays")
    arrays = {name: archive[f"arr_{index}"] for index, name in enumerate(names)}
    for name in document["bfloat16"]:
        arrays[name] = arrays[name].view(_BFLOAT16)
    return arrays, document["state"]
