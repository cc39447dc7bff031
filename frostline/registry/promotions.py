"""Which version is the champion, who promoted it, and which versions may become the champion.

Two objects change, each only by compare-and-swap: the alias names the champion, and a version's standing says whether
it was proven (and compared with which champion), rejected or removed. Promoting a version and removing it therefore
exclude each other, and a rejected or removed version is never promoted. If a version is rejected in the middle of its
promotion, the alias decides, for readers too.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import Literal, NamedTuple

from frostline import storage
from frostline.errors import ChampionChanged, PreconditionFailed, RegistryError
from frostline.registry.objects import Alias, Promotion, now
from frostline.registry.seals import parse
from frostline.registry.standings import PROVEN, REJECTED, of_version, read_standing, swap
from frostline.registry.version import Version, address, in_parallel, read_object

Kind = Literal["promotion", "approval", "rollback"]


def champion(root: str, model: str) -> Alias | None:
    """The alias of the champion; None before the first promotion.

    Raises:
        RegistryError: the model's name or the alias is malformed.
    """
    found = _read_alias(root, model)
    return None if found is None else found.promotion.alias()


def nominate(
    root: str,
    version: Version,
    *,
    compared_with: Alias | None,
    kind: Kind = "promotion",
    test_split: str | None = None,
    attempt: str | None = None,
) -> None:
    """Record that a version is proven and may replace the champion that it was compared with, on that test split.

    Raises:
        ChampionChanged: another version is the champion, or the same one after another one in between.
        RegistryError: the version was rejected or removed, or its manifest changed since it was proven.
    """
    while True:
        found, generation = read_standing(root, version.model, version.number)
        if found is not None and found.standing != PROVEN:
            raise RegistryError(f"{version.model} version {version.number} was {found.standing}: {found.reason}")
        if found is not None and found.manifest_digest != version.manifest_digest:
            raise RegistryError(f"{version.uri}: its manifest is not that of the version that was proven")
        # After the standing is read, so that no comparison overwrites one with a later champion.
        require_champion(root, version, compared_with)
        wanted = of_version(
            version, PROVEN, compared_with=compared_with, kind=kind, test_split=test_split, attempt=attempt
        )
        if found == wanted or swap(root, wanted, generation):
            return


def reject(root: str, version: Version, *, reason: str) -> bool:
    """Mark a version so that it is never promoted; return False and do nothing if it is the champion.

    Raises:
        StorageError: the registry cannot be written.
    """
    while True:
        found, generation = read_standing(root, version.model, version.number)
        serving = champion(root, version.model)
        if serving is not None and serving.version == version.number:
            return False
        if found is not None and found.standing != PROVEN:
            return True
        if swap(root, of_version(version, REJECTED, reason=reason), generation):
            return True


def promote(
    root: str,
    version: Version,
    *,
    expected: Alias | None,
    reason: str,
    kind: Kind = "promotion",
    approver: str | None = None,
    test_split: str | None = None,
    attempt: str | None = None,
) -> Alias:
    """Make a version the champion, if the champion is still the one that it was compared with.

    Args:
        root: the registry.
        version: the new champion, proven.
        expected: the champion that it was compared with; None if there was none.
        reason: why, in one line, for the record.
        kind: of promotion, for the record.
        approver: the person who decided, if any.
        test_split: digest of the test split that decided, if any.
        attempt: name of the evaluation that decided, if any.

    Raises:
        ChampionChanged: the champion is not, or no longer, `expected`; the alias is unchanged.
        RegistryError: the version was rejected or removed.
        StorageError: the registry cannot be written.
    """
    nominate(
        root,
        version,
        compared_with=expected,
        kind="rollback" if kind == "rollback" else "promotion",
        test_split=test_split,
        attempt=attempt,
    )
    recorded = record(root, version.model)  # the previous promotion, in case its writer died before recording it
    promotion = Promotion(
        model=version.model,
        version=version.number,
        manifest_digest=version.manifest_digest,
        previous_version=None if expected is None else expected.version,
        kind=kind,
        approver=approver,
        reason=reason,
        test_split=test_split,
        attempt=attempt,
        promoted_at=now(),
        promotion=f"{recorded + 1:06d}-{uuid.uuid4().hex[:8]}",  # in the order of the swaps, whatever the clocks say
    )
    generation = require_champion(root, version, expected)
    try:
        storage.write_bytes(_alias_uri(root, version.model), promotion.encode(), if_generation=generation)
    except PreconditionFailed:
        raise _changed(version, expected, champion(root, version.model)) from None
    record(root, version.model)
    return promotion.alias()


def record(root: str, model: str) -> int:
    """Copy the alias to the promotions, unless it is already there; return how many promotions there are."""
    found = _read_alias(root, model)
    if found is None:
        return 0
    uri = address(root, model, "promotions", f"{found.promotion.promotion}.json")
    if storage.stat(uri) is None:
        with contextlib.suppress(PreconditionFailed):  # another process was faster
            storage.write_bytes(uri, found.data, if_generation=storage.ABSENT)
    return len(storage.list_files(address(root, model, "promotions")))


def history(root: str, model: str) -> list[Promotion]:
    """Every change of the alias, the first one first.

    Raises:
        RegistryError: the model's name or a record is malformed.
    """
    uris = [item.uri for item in storage.list_files(address(root, model, "promotions"))]
    read = in_parallel(storage.read_bytes, uris)
    entries = [parse(Promotion, data, uri) for data, uri in zip(read, uris, strict=True)]
    found = _read_alias(root, model)
    if found is not None:  # its writer may not have recorded it yet, or may be dead
        entries.append(found.promotion)
    return [entry for _, entry in sorted({entry.promotion: entry for entry in entries}.items())]


def promotions_decided_on(root: str, model: str, test_split: str) -> int:
    """How many promotions were decided on exactly this test split (its digest).

    Each one adds to the rate of false promotions.

    Raises:
        RegistryError: the model's name or a record is malformed.
    """
    return sum(entry.test_split == test_split for entry in history(root, model))


def _alias_uri(root: str, model: str) -> str:
    return address(root, model, "aliases", "champion.json")


class _StoredAlias(NamedTuple):
    """The alias's object, and the storage generation of exactly this content."""

    promotion: Promotion
    data: bytes
    generation: str


def _read_alias(root: str, model: str) -> _StoredAlias | None:
    uri = _alias_uri(root, model)
    found = read_object(uri)
    return None if found is None else _StoredAlias(parse(Promotion, found[0], uri), *found)


def require_champion(root: str, version: Version, expected: Alias | None) -> str:
    """The storage generation of the alias, if it names the expected champion; raises ChampionChanged if another."""
    found = _read_alias(root, version.model)
    if (found and found.promotion.promotion) != (expected and expected.promotion):
        raise _changed(version, expected, found and found.promotion.alias())
    return storage.ABSENT if found is None else found.generation


def _changed(version: Version, expected: Alias | None, found: Alias | None) -> ChampionChanged:
    compared = "no champion" if expected is None else f"version {expected.version}"
    serving = "none" if found is None else f"version {found.version}"
    again = ", promoted again since" if found and expected and found.version == expected.version else ""
    return ChampionChanged(
        f"{version.model}: the champion is {serving} now{again}; version {version.number} was compared with {compared}"
    )
