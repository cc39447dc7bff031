"""Reading the registry's JSON objects: one whose seal does not match its content was damaged, and is not used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError

from frostline import artifacts, digests
from frostline.artifacts import Json
from frostline.errors import DataError, RegistryError
from frostline.registry.objects import SEAL, Record, StoredObject
from frostline.section import first_problem

C = TypeVar("C", bound=StoredObject)
D = TypeVar("D", bound=Record)
_LONGEST = 60  # characters of a received value in a message
_REMEDY = "restore it from a copy"
_DAMAGED = f"is not what was written; {_REMEDY}"


def parse(shape: type[D], data: bytes, uri: str) -> D:
    """A record of the registry from its bytes.

    Raises:
        RegistryError: it is not JSON, has another schema, is not what was written, or a field is missing or wrong.
    """
    document = decode(data, uri, shape.KIND)
    content = {key: value for key, value in document.items() if key not in ("schema", SEAL)}
    require_written(document, SEAL, content, shape, uri)
    return check(shape, document, uri)


def require_written(document: Json, seal: str, content: Json, shape: type[Record], uri: str) -> None:
    """Refuse a document whose seal is not the digest of its content, with a RegistryError.

    An earlier version wrote no seal. Such a document has only keys that this version knows: another key may be the
    seal with a damaged name.
    """
    try:
        written = digests.of_json(content) == document[seal] if seal in document else _has_known_keys(document, shape)
    except ValueError:  # a number that JSON has no form of
        written = False
    if not written:
        raise RegistryError(f"{uri}: {_DAMAGED}")


def _has_known_keys(document: Json, shape: type[Record]) -> bool:
    return document.keys() <= {"schema", *shape.model_fields}


def check(shape: type[C], document: Mapping[str, object], origin: str) -> C:
    """A JSON object as its type; `origin` names it in messages.

    Raises:
        RegistryError: a field is missing or wrong.
    """
    try:
        return shape.model_validate(document)
    except ValidationError as error:
        problem = first_problem(error)
        received = repr(problem.received)[:_LONGEST]
        raise RegistryError(f"{origin}: {problem.place}: received {received}; {problem.expected}") from None


def decode(data: bytes, uri: str, kind: str) -> Json:
    """A JSON object of the registry, its schema checked; RegistryError if it is malformed."""
    try:
        document = artifacts.parse_json(data, uri)
    except DataError:
        document = {}
    if document.get("schema") != artifacts.schema(kind):
        raise RegistryError(f"{uri}: is not a {artifacts.schema(kind)} file; {_REMEDY}")
    return document
