"""Local directories and gs:// with the same guarantees.

A write is atomic, and durable when it returns. It can have a precondition: `ABSENT` creates only a new object, and a
generation replaces only the object that was read. Any address that does not begin with `gs://` is a local path.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

from frostline.errors import NotFound, PreconditionFailed, StorageError
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
    "sha256",
    "stat",
    "store_intact",
    "sweep",
    "upload_file",
    "write_bytes",
]


_PIECE = 8 * 2**20  # bytes per read of `sha256`


class _Backend(Protocol):
    """The interface of `local` and `gcs`; the functions below document it."""

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
    """Join a root and relative paths, which have forward slashes, to one address.

    The root may be a link. Nothing below it is reached through one: what is written or removed would be elsewhere.

    Raises:
        StorageError: a part is empty, absolute, or contains `.`, `..`, a backslash or NUL; a directory below the root
            is a link; or the root is empty.
    """
    if not root or root.rstrip("/") == "gs:":
        raise StorageError(f"received the root {root!r}; expected a directory or gs://BUCKET")
    names = [name for part in parts for name in relative_parts(part)]
    if not root.startswith("gs://"):
        local.require_no_links(root, names)
    return "/".join([root.rstrip("/"), *names])


def stat(uri: str) -> Stat | None:
    """Describe the object at `uri`; None if there is none. A directory is not an object."""
    return _backend(uri).stat(uri)


def read_bytes(uri: str, *, offset: int = 0, length: int | None = None) -> bytes:
    """Read an object, or `length` bytes of it from `offset`; a part in a bucket has no checksum, so compare a digest.

    Raises:
        NotFound: there is no such object.
        StorageError: it cannot be read, or it ends before `offset + length`.
    """
    data = _backend(uri).read_bytes(uri, offset, length)
    if length is not None and len(data) != length:
        raise StorageError(f"{uri}: received {len(data)} bytes from byte {offset}; expected {length}")
    return data


def sha256(uri: str, size: int) -> str:
    """SHA-256 of the first `size` bytes of an object, read in pieces.

    Raises:
        NotFound: there is no such object.
        StorageError: it cannot be read, or it is shorter.
    """
    digest = hashlib.sha256()
    for offset in range(0, size, _PIECE):
        digest.update(read_bytes(uri, offset=offset, length=min(_PIECE, size - offset)))
    return digest.hexdigest()


def write_bytes(uri: str, data: bytes, *, if_generation: str | None = None) -> Stat:
    """Write an object atomically.

    Args:
        uri: the object's address.
        data: the whole content.
        if_generation: None always writes; ABSENT writes only if there is no object; a generation writes only if the
            object still has that generation.

    Raises:
        PreconditionFailed: the object does not meet `if_generation`; it is unchanged.
        StorageError: it cannot be written; no partial object is left.
    """
    return _backend(uri).write_bytes(uri, data, if_generation)


def list_files(uri: str) -> list[Stat]:
    """List every object below the directory or prefix `uri`, sorted by address, without temporary files.

    A link to a file is an object; a link to a directory is passed over, so nothing outside `uri` is listed.
    """
    return sorted(_backend(uri).list_files(uri.rstrip("/") or "/"), key=lambda item: item.uri)


def upload_file(path: Path, uri: str, *, if_generation: str | None = None) -> Stat:
    """Store a local file, with a hard link if possible; otherwise like `write_bytes`, with the same errors.

    A linked file must not be changed in place afterwards; it may be replaced.

    Raises:
        NotFound: `path` is not a file.
    """
    if not path.is_file():
        raise NotFound(f"{path}: there is no such file")
    return _backend(uri).upload_file(path, uri, if_generation)


def store_intact(path: Path, uri: str, digest: str) -> bool:
    """Store a local file under an address that only this content has, unless it is there and intact.

    Args:
        path: the file.
        uri: the object's address.
        digest: SHA-256 of the file.

    Returns:
        Whether an object that was damaged has been replaced.

    Raises:
        StorageError: it cannot be read or written.
    """
    try:
        upload_file(path, uri, if_generation=ABSENT)
    except PreconditionFailed:
        found = stat(uri)
        if found is not None and found.size == path.stat().st_size and sha256(uri, found.size) == digest:
            return False
        upload_file(path, uri)
        return True
    return False


def localize(uri: str, into: Path) -> Path:
    """Return a local path with the content of `uri`. A local path is returned unchanged.

    An object in a bucket is downloaded to `into`/NAME, and a prefix to the directory `into`.

    Raises:
        NotFound: nothing exists at `uri`.
    """
    return _backend(uri).localize(uri, into)


def check_writable(uri: str) -> None:
    """Check that files can be written below `uri`, which need not exist; nothing is left behind.

    Raises:
        StorageError: files cannot be written there.
    """
    _backend(uri).check_writable(uri)


def delete(uri: str) -> bool:
    """Remove one object; return False if there was none. A directory is not an object.

    Raises:
        StorageError: it cannot be removed.
    """
    return _backend(uri).delete(uri)


def sweep(uri: str) -> None:
    """Remove temporary files below `uri` that are older than a day, whose writers died.

    Raises:
        StorageError: one cannot be removed.
    """
    _backend(uri).sweep(uri)


def _backend(uri: str) -> _Backend:
    scheme, separator, _ = uri.partition("://")
    if separator and scheme != "gs":
        raise StorageError(f"received {uri!r}; expected a local path or gs://BUCKET/PREFIX")
    return gcs if separator else local
