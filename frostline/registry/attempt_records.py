"""Attempts: every evaluation that a model name went through, whether its model was promoted or not.

Each use of the same test images raises the probability that some model is promoted by luck, so the gate counts all of
them. An attempt is recorded when it is evaluated, because the images are used then, and concluded by push or hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from frostline import digests, storage
from frostline.errors import NotFound, PreconditionFailed, RegistryError
from frostline.registry import sketches
from frostline.registry.objects import Attempt
from frostline.registry.seals import parse
from frostline.registry.version import address, in_parallel, read_object


def begin(root: str, attempt: Attempt) -> None:
    """Record an attempt; the same evaluation again changes nothing.

    Raises:
        StorageError: the registry cannot be written.
    """
    try:
        storage.write_bytes(_uri(root, attempt.model, attempt.attempt), attempt.encode(), if_generation=storage.ABSENT)
    except PreconditionFailed:
        return


def conclude(root: str, model: str, name: str, **fields: object) -> Attempt:
    """Record what became of an attempt.

    Args:
        root: the registry.
        model: name of the model.
        name: of the attempt.
        fields: of `Attempt`, to replace.

    Raises:
        RegistryError: this registry has no such attempt, or it is malformed.
        StorageError: the registry cannot be written.
    """
    uri = _uri(root, model, name)
    while True:
        found = read_object(uri)
        if found is None:
            raise RegistryError(f"{root} has no attempt {name} of {model}; evaluate with this registry first")
        before = parse(Attempt, found[0], uri)
        after = before.model_copy(update=fields)
        if after == before:
            return after
        try:
            storage.write_bytes(uri, after.encode(), if_generation=found[1])
        except PreconditionFailed:  # another process concluded it, too
            continue
        return after


def attempts(root: str, model: str) -> list[Attempt]:
    """All attempts, the first one first.

    Raises:
        RegistryError: the model's name or an attempt is malformed.
    """
    uris = [item.uri for item in storage.list_files(address(root, model, "attempts"))]
    read = in_parallel(storage.read_bytes, uris)
    found = [parse(Attempt, data, uri) for data, uri in zip(read, uris, strict=True)]
    return sorted(found, key=lambda one: (one.evaluated_at, one.attempt))


def looks(earlier: Iterable[Attempt], images: int, sketch: list[str]) -> float:
    """How many earlier decisions used a set of test images, each counted by the fraction of the images that it used."""
    return sum(sketches.overlap(images, sketch, one.images, one.sketch) for one in earlier)


def store_predictions(root: str, model: str, attempt: str, path: Path) -> str:
    """Keep a model's predictions, so that it can be compared after its files are gone; return their SHA-256.

    Raises:
        StorageError: the registry cannot be written.
    """
    data = path.read_bytes()
    try:
        storage.write_bytes(_predictions_uri(root, model, attempt), data, if_generation=storage.ABSENT)
    except PreconditionFailed:  # an interrupted push wrote them
        data = storage.read_bytes(_predictions_uri(root, model, attempt))
    return digests.of_bytes(data)


def predictions(root: str, attempt: Attempt) -> bytes | None:
    """The stored predictions of an attempt; None if there are none, or not those that were stored."""
    if attempt.predictions is None:
        return None
    try:
        data = storage.read_bytes(_predictions_uri(root, attempt.model, attempt.attempt))
    except NotFound:
        return None
    return data if digests.of_bytes(data) == attempt.predictions else None


def _uri(root: str, model: str, name: str) -> str:
    return address(root, model, "attempts", f"{name}.json")


def _predictions_uri(root: str, model: str, name: str) -> str:
    return address(root, model, "predictions", f"{name}.parquet")
