"""Local directories and gs:// with the same guarantees.

A write is whole or not there, on the disk (or in the bucket) when it returns, and may depend on what it replaces:
`ABSENT` creates exclusively, a generation swaps what was read. Anything but `gs://` is a local path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from frostline.errors import NotFound, StorageError
from frostline.storage import gcs, local
from frostline.storage.base import ABSENT, Stat, relative_parts

__all__ = [
    "ABSENT",
    "Stat",
    "check_writable",
    "delete",
    "join",
    "list_files",
    "localize",
    "read_bytes",
    "stat",
    "sweep",
    "upload_file",
    "write_bytes",
]


class _Backend(Protocol):
    """What `local` and `gcs` both implement; the functions below say what each does."""

    def stat(self, uri: str) -> Stat | None: ...
    def read_bytes(self, uri: str, offset: int, length: int | None) -> bytes: ...
    def write_bytes(self, uri: str, data: bytes, if_generation: str | None) -> Stat: ...
    def list_files(self, uri: str) -> list[Stat]: ...
    def upload_file(self, path: Path, uri: str, if_generation: str | None) -> Stat: ...
    def localize(self, uri: str, into: Path) -> Path: ...
    def check_writable(self, uri: str) -> None: ...
    def delete(self, uri: str) -> bool: ...
    def sweep(self, uri: str) -> None: ...


def join(root: str, *parts: str) -> str:
    """An address below `root`; each part is one or more names with forward slashes between them.

    Raises:
        StorageError: a part is empty, absolute, or holds `.`, `..`, a backslash or NUL; or there is no root.
    """
    if not root or root.rstrip("/") == "gs:":
        raise StorageError(f"received the root {root!r}; expected a directory or gs://BUCKET")
    names = [name for part in parts for name in relative_parts(part)]
    return "/".join([root.rstrip("/"), *names])


def stat(uri: str) -> Stat | None:
    """Describe the object at `uri`; None where there is none (a directory is none)."""
    return _backend(uri).stat(uri)


def read_bytes(uri: str, *, offset: int = 0, length: int | None = None) -> bytes:
    """The content of an object, or `length` bytes of it from `offset`.

    Raises:
        NotFound: there is no object.
        StorageError: it cannot be read, or ends before `offset + length`.
    """
    data = _backend(uri).read_bytes(uri, offset, length)
    if length is not None and len(data) != length:
        raise StorageError(f"{uri}: received {len(data)} bytes from byte {offset}; expected {length}")
    return data


def write_bytes(uri: str, data: bytes, *, if_generation: str | None = None) -> Stat:
    """Write an object, whole or not at all.

    Args:
        uri: where to.
        data: the whole content.
        if_generation: None writes in any case, ABSENT only where there is no object, a generation only while the
            object still has it.

    Raises:
        PreconditionFailed: the object is not what `if_generation` says; it was left alone.
        StorageError: it cannot be written; nothing half-written stays.
    """
    return _backend(uri).write_bytes(uri, data, if_generation)


def list_files(uri: str) -> list[Stat]:
    """Every object below the directory or prefix `uri`, sorted by address; temporary files are left out."""
    return sorted(_backend(uri).list_files(uri.rstrip("/") or "/"), key=lambda item: item.uri)


def upload_file(path: Path, uri: str, *, if_generation: str | None = None) -> Stat:
    """Store a local file, by a hard link where that will do; otherwise as `write_bytes`, and with its errors.

    A linked file must not be changed in place afterwards; replacing it is harmless.

    Raises:
        NotFound: `path` is no file.
    """
    if not path.is_file():
        raise NotFound(f"{path}: there is no such file")
    return _backend(uri).upload_file(path, uri, if_generation)


def localize(uri: str, into: Path) -> Path:
    """A local path with the content of `uri`: a local path is returned as it is.

    An object of a bucket is downloaded as `into`/NAME, a prefix as the tree `into`.

    Raises:
        NotFound: there is nothing at `uri`.
    """
    return _backend(uri).localize(uri, into)


def check_writable(uri: str) -> None:
    """Try to write below `uri`, which need not exist, and leave nothing behind.

    Raises:
        StorageError: it cannot be written.
    """
    _backend(uri).check_writable(uri)


def delete(uri: str) -> bool:
    """Remove one object; False if there was none. A directory is none.

    Raises:
        StorageError: it cannot be removed.
    """
    return _backend(uri).delete(uri)


def sweep(uri: str) -> None:
    """Remove what writers below `uri` left behind that died a day ago or earlier; `list_files` never shows it.

    Raises:
        StorageError: it cannot be removed.
    """
    _backend(uri).sweep(uri)


def _backend(uri: str) -> _Backend:
    scheme, separator, _ = uri.partition("://")
    if separator and scheme != "gs":
        raise StorageError(f"received {uri!r}; expected a local path or gs://BUCKET/PREFIX")
    return gcs if separator else local
