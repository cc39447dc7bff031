"""Standings: whether a version is proven, rejected or removed, and which champion it was compared with.

A standing changes only by compare-and-swap, so a version cannot be promoted and removed at the same time.
"""

from __future__ import annotations

from typing import Literal

from frostline import storage
from frostline.errors import PreconditionFailed
from frostline.registry.objects import Alias, Standing
from frostline.registry.seals import parse
from frostline.registry.version import REMOVED, Version, address, read_object

PROVEN: Literal["proven"] = "proven"
REJECTED: Literal["rejected"] = "rejected"


def standing(root: str, model: str, number: int) -> Standing | None:
    """The standing of a version; None before its proof.

    Raises:
        RegistryError: the object is malformed.
    """
    return read_standing(root, model, number)[0]


def read_standing(root: str, model: str, number: int) -> tuple[Standing | None, str]:
    """As `standing`, with the storage generation that `swap` and `mark_removed` take."""
    uri = _uri(root, model, number)
    found = read_object(uri)
    if found is None:
        return None, storage.ABSENT
    return parse(Standing, found[0], uri), found[1]


def swap(root: str, wanted: Standing, generation: str) -> bool:
    """Write a standing, unless it changed since it was read; return whether it was written.

    Raises:
        StorageError: the registry cannot be written.
    """
    try:
        storage.write_bytes(_uri(root, wanted.model, wanted.version), wanted.encode(), if_generation=generation)
    except PreconditionFailed:
        return False
    return True


def mark_removed(root: str, version: Version, found: Standing | None, generation: str) -> bool:
    """Prevent all future promotions of a version, unless its standing changed since it was read; return whether."""
    if found is not None and found.standing == REMOVED:
        return True
    return swap(root, of_version(version, REMOVED, reason="by prune"), generation)


def of_version(
    version: Version,
    word: Literal["proven", "rejected", "removed"],
    *,
    compared_with: Alias | None = None,
    kind: str = "promotion",
    test_split: str | None = None,
    attempt: str | None = None,
    reason: str = "",
) -> Standing:
    """A standing to write; the arguments are its fields."""
    return Standing(
        model=version.model,
        version=version.number,
        standing=word,
        manifest_digest=version.manifest_digest,
        compared_with=compared_with,
        kind=kind,
        test_split=test_split,
        attempt=attempt,
        reason=reason,
    )


def _uri(root: str, model: str, number: int) -> str:
    return address(root, model, "standings", f"{number}.json")
