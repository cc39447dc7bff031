"""What both kinds of storage share: the description of an object, preconditions, and safe relative paths."""

from __future__ import annotations

from dataclasses import dataclass

from frostline.errors import StorageError

ABSENT = "absent"  # precondition of a write: there must be no object yet


@dataclass(frozen=True)
class Stat:
    """One stored object: its address, its size in bytes, and a mark that changes whenever the content is replaced."""

    uri: str
    size: int
    generation: str


def relative_parts(path: str) -> list[str]:
    """The components of a relative path with forward slashes, if none of them can lead out of its root.

    Raises:
        StorageError: the path is absolute or empty, or has a component that is empty, `.`, `..`, or holds a
            backslash or NUL.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise StorageError(f"received the path {path!r}; expected a relative path below its root, with forward slashes")
    return parts
