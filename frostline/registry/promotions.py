"""Which version serves, who made it so, and what may become of the others.

Two objects change, each by compare-and-swap only. The alias names the version that serves. A version's standing says
that it was proven and with which champion it was compared, or that it was rejected or removed: so promoting and
removing one version exclude each other, and none that was rejected or removed is promoted. Where it is rejected in the
middle of its promotion the alias counts, for readers too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import uuid
from dataclasses import dataclass
from typing import Literal, NamedTuple

from frostline import artifacts, storage
from frostline.errors import ChampionChanged, PreconditionFailed, RegistryError
from frostline.registry import objects
from frostline.registry.version import Version, address, check, decode, in_parallel, read_object

Kind = Literal["promotion", "approval", "rollback"]
PROVEN, REJECTED, REMOVED = "proven", "rejected", "removed"


@dataclass(frozen=True)
class Alias:
    """What `champion` named when it was read; `promotion` is the precondition for changing it.

    It is the promotion's own name, and no storage's generation: so it holds in a copied or restored registry too.
    """

    version: int
    manifest_digest: str
    promotion: str


@dataclass(frozen=True)
class Promotion:
    """One change of the alias.

    Attributes:
        kind: `promotion` by push, `approval` by a person, `rollback` by a person.
        version: what served from then on; `previous_version` is what it replaced, None if there was no champion.
        approver: the person; None for a push.
        test_split: digest of the test split that decided; None for a rollback, and where the version does not say.
        promoted_at: ISO 8601, UTC.
    """

    kind: str
    version: int
    manifest_digest: str
    previous_version: int | None
    approver: str | None
    reason: str
    test_split: str | None
    promoted_at: str


@dataclass(frozen=True)
class Standing:
    """What was found out about a version.

    Attributes:
        word: `proven`, `rejected` or `removed`; the last two are final.
        manifest_digest: of the version that it was found out about.
        compared_with: the champion that a proven version may replace; None if there was none.
        reason: why it was rejected or removed.
        kind: what it was proven for; a rollback that died must not look like a candidate.
        test_split: digest of the test split of the comparison.
    """

    word: str
    manifest_digest: str
    compared_with: Alias | None
    reason: str
    kind: str = "promotion"
    test_split: str | None = None


def champion(root: str, model: str) -> Alias | None:
    """The alias of the version that serves; None before the first promotion.

    Raises:
        RegistryError: the model's name or the alias is malformed.
    """
    found = _read_alias(root, model)
    return None if found is None else found.alias


def standing(root: str, model: str, number: int) -> Standing | None:
    """What was found out about a version; None before its proof.

    Raises:
        RegistryError: the object is malformed.
    """
    return read_standing(root, model, number)[0]


def nominate(
    root: str,
    version: Version,
    *,
    compared_with: Alias | None,
    kind: Kind = "promotion",
    test_split: str | None = None,
) -> None:
    """Record that a version is proven and may replace the champion that it was compared with, on that test split.

    Raises:
        ChampionChanged: another version serves, or the same one again after another.
        RegistryError: the version was rejected or removed, or its manifest changed since it was proven.
    """
    while True:
        found, generation = read_standing(root, version.model, version.number)
        if found is not None and found.word != PROVEN:
            raise RegistryError(f"{version.model} version {version.number} was {found.word}: {found.reason}")
        if found is not None and found.manifest_digest != version.manifest_digest:
            raise RegistryError(f"{version.uri}: its manifest is not that of the version that was proven")
        # After the standing was read: so no comparison overwrites one with a later champion.
        _generation_of(root, version, compared_with)
        wanted = Standing(PROVEN, version.manifest_digest, compared_with, "", kind, test_split)
        if found == wanted or _swap_standing(root, version, wanted, generation):
            return


def reject(root: str, version: Version, *, reason: str) -> bool:
    """Mark a version so that nothing ever promotes it; False, and nothing is done, if it serves.

    Raises:
        StorageError: the registry cannot be written.
    """
    while True:
        found, generation = read_standing(root, version.model, version.number)
        serving = champion(root, version.model)
        if serving is not None and serving.version == version.number:
            return False
        if found is not None and found.word != PROVEN:
            return True
        if _swap_standing(root, version, Standing(REJECTED, version.manifest_digest, None, reason), generation):
            return True


def mark_removed(root: str, version: Version, found: Standing | None, generation: str) -> bool:
    """Let nothing promote a version from now on, unless its standing changed since it was read; whether that is so."""
    if found is not None and found.word == REMOVED:
        return True
    return _swap_standing(root, version, Standing(REMOVED, version.manifest_digest, None, "by prune"), generation)


def promote(
    root: str,
    version: Version,
    *,
    expected: Alias | None,
    reason: str,
    kind: Kind = "promotion",
    approver: str | None = None,
    test_split: str | None = None,
) -> Alias:
    """Make a version the champion, if the champion still is the one that it was compared with.

    Args:
        root: the registry.
        version: the version to serve, proven.
        expected: the champion of the comparison; None if there was none.
        reason: why, in one line, for the record.
        kind: what the record calls it.
        approver: the person who decided, if one did.
        test_split: digest of the test split that decided, if one did.

    Raises:
        ChampionChanged: the alias is not, or no longer, `expected`; it was left alone.
        RegistryError: the version was rejected or removed.
        StorageError: the registry cannot be written.
    """
    nominate(
        root,
        version,
        compared_with=expected,
        kind="rollback" if kind == "rollback" else "promotion",
        test_split=test_split,
    )
    recorded = record(root, version.model)  # the promotion before this one, in case its writer died before it could
    name = f"{recorded + 1:06d}-{uuid.uuid4().hex[:8]}"  # in the order of the swaps, whatever clocks say
    document = {
        "schema": artifacts.schema("alias"),
        "model": version.model,
        "version": version.number,
        "manifest_digest": version.manifest_digest,
        "previous_version": None if expected is None else expected.version,
        "kind": kind,
        "approver": approver,
        "reason": reason,
        "test_split": test_split,
        "promoted_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "promotion": name,
    }
    generation = _generation_of(root, version, expected)
    try:
        storage.write_bytes(
            _alias_uri(root, version.model), artifacts.encode("alias", document), if_generation=generation
        )
    except PreconditionFailed:
        raise _changed(version, expected, champion(root, version.model)) from None
    record(root, version.model)
    return Alias(version.number, version.manifest_digest, name)


def record(root: str, model: str) -> int:
    """Append what the alias says to the promotions, unless it is there; how many there are."""
    found = _read_alias(root, model)
    if found is None:
        return 0
    uri = address(root, model, "promotions", f"{found.alias.promotion}.json")
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
    entries = [_promotion(data, uri) for uri, data in zip(uris, read, strict=True)]
    found = _read_alias(root, model)
    if found is not None:  # its writer may not have recorded it yet, or be dead
        entries.append(_promotion(found.data, _alias_uri(root, model)))
    return [promotion for _, promotion in sorted(dict(entries).items())]


def promotions_decided_on(root: str, model: str, test_split: str) -> int:
    """How many promotions were decided on exactly this test split (its digest): each wears it out a little.

    Raises:
        RegistryError: the model's name or a record is malformed.
    """
    return sum(entry.test_split == test_split for entry in history(root, model))


def _promotion(data: bytes, uri: str) -> tuple[str, Promotion]:
    found = check(objects.Alias, decode(data, uri, "alias"), uri)
    return found.promotion, Promotion(
        **{field.name: getattr(found, field.name) for field in dataclasses.fields(Promotion)}
    )


def _alias_uri(root: str, model: str) -> str:
    return address(root, model, "aliases", "champion.json")


class _Stored(NamedTuple):
    """The alias's object, and the storage generation of just this content."""

    alias: Alias
    data: bytes
    generation: str


def _read_alias(root: str, model: str) -> _Stored | None:
    uri = _alias_uri(root, model)
    found = read_object(uri)
    return None if found is None else _Stored(_alias(check(objects.Alias, decode(found[0], uri, "alias"), uri)), *found)


def _alias(serving: objects.Serving) -> Alias:
    return Alias(serving.version, serving.manifest_digest, serving.promotion)


def _generation_of(root: str, version: Version, expected: Alias | None) -> str:
    """The storage generation of the alias, while it is the expected one; ChampionChanged if it is another."""
    found = _read_alias(root, version.model)
    if (found and found.alias.promotion) != (expected and expected.promotion):
        raise _changed(version, expected, found and found.alias)
    return storage.ABSENT if found is None else found.generation


def _changed(version: Version, expected: Alias | None, found: Alias | None) -> ChampionChanged:
    compared = "no champion" if expected is None else f"version {expected.version}"
    serving = "none" if found is None else f"version {found.version}"
    again = ", promoted again since" if found and expected and found.version == expected.version else ""
    return ChampionChanged(
        f"{version.model}: the champion is {serving} now{again}; version {version.number} was compared with {compared}"
    )


def _standing_uri(root: str, model: str, number: int) -> str:
    return address(root, model, "standings", f"{number}.json")


def read_standing(root: str, model: str, number: int) -> tuple[Standing | None, str]:
    """As `standing`, with the generation that `mark_removed` takes."""
    uri = _standing_uri(root, model, number)
    found = read_object(uri)
    if found is None:
        return None, storage.ABSENT
    stored = check(objects.Standing, decode(found[0], uri, "standing"), uri)
    compared = None if stored.compared_with is None else _alias(stored.compared_with)
    standing = Standing(
        stored.standing, stored.manifest_digest, compared, stored.reason, stored.kind, stored.test_split
    )
    return standing, found[1]


def _swap_standing(root: str, version: Version, wanted: Standing, generation: str) -> bool:
    document = {
        "model": version.model,
        "version": version.number,
        "standing": wanted.word,
        "manifest_digest": wanted.manifest_digest,
        "compared_with": wanted.compared_with and dataclasses.asdict(wanted.compared_with),
        "kind": wanted.kind,
        "test_split": wanted.test_split,
        "reason": wanted.reason,
    }
    uri = _standing_uri(root, version.model, version.number)
    try:
        storage.write_bytes(uri, artifacts.encode("standing", document), if_generation=generation)
    except PreconditionFailed:
        return False
    return True
