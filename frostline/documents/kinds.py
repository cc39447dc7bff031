"""Kinds of documents: one JSON object in a file, rows of a JSON-lines file, and one JSON object anywhere in a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NotRequired, TypedDict, TypeVar, cast

from frostline import artifacts

T = TypeVar("T", bound=Mapping[str, Any])


class Stored(TypedDict):
    """What every document on disk has; the writer adds the schema."""

    schema: NotRequired[str]


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of JSON object.

    Attributes:
        kind: the part of the schema that names it: `frostline/KIND/v1`.
    """

    kind: str

    def encode(self, content: T) -> bytes:
        """The bytes of an indented JSON object with the schema of this kind."""
        return artifacts.encode(self.kind, content)

    def parse(self, data: bytes, origin: str) -> T:
        """Parse what `encode` gave; `origin` names it in messages. The schema is checked, the fields are not.

        Raises:
            DataError: the bytes are not JSON, or have another schema.
        """
        return cast(T, artifacts.parse(data, self.kind, origin))


@dataclass(frozen=True)
class Document(Kind[T]):
    """A kind of JSON object that a step writes as a file.

    Attributes:
        file: its name in the directory of the step that writes it.
    """

    file: str

    def read(self, directory: Path) -> T:
        """Read the file in `directory`.

        Raises:
            DataError: it is missing, cannot be read, is not JSON, or has another schema.
        """
        return self.read_file(directory / self.file)

    def read_file(self, path: Path) -> T:
        """As `read`, from a file of any name."""
        return cast(T, artifacts.read_json(path, self.kind))

    def write(self, directory: Path, content: T) -> None:
        """Write the file in `directory`, whole or not at all.

        Raises:
            StorageError: it cannot be written.
        """
        artifacts.write_json(directory / self.file, self.kind, content)


@dataclass(frozen=True)
class Rows(Generic[T]):
    """A kind of JSON-lines file: one object per line, and no schema.

    Attributes:
        file: its name in the directory of the step that writes it.
    """

    file: str

    def read(self, directory: Path) -> list[T]:
        """All rows of the file in `directory`.

        Raises:
            DataError: it is missing, or a line is not JSON.
        """
        return [cast(T, row) for row in artifacts.read_jsonl(directory / self.file)]

    def write(self, directory: Path, rows: Iterable[T]) -> None:
        """Write the file in `directory`, whole or not at all.

        Raises:
            StorageError: it cannot be written.
        """
        artifacts.write_jsonl(directory / self.file, rows)
