"""What both kinds of storage use: the description of an object, preconditions, and safe relative paths."""

from __future__ import annotations

from dataclasses import dataclass

from frostline.errors import StorageError

ABSENT = "absent"  # precondition of a write: there is no object yet


@dataclass(frozen=True)
class Stat:
    """A stored object: its address, its size in bytes, and a generation that changes whenever it is replaced."""

    uri: str
    size: int
    generation: str


def relative_parts(path: str) -> list[str]:
    """Split a relative path with forward slashes into its components.

    Raises:
        StorageError: the path could leave its root: it is absolute or empty, or a component is empty, `.` or `..`, or
            contains a backslash or NUL.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise StorageError(f"received the path {path!r}; expected a relative path below its root, with forward slashes")
    return parts
