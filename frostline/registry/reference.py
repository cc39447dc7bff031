"""The reference: the version that every new model is compared with besides the champion.

Comparing each model with the last champion alone lets a chain of models lose a little accuracy at a time. The
reference does not move with the champion. It is the version that a person pinned; otherwise it is the first champion,
until one is significantly better than the reference and becomes the reference itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from frostline import storage
from frostline.errors import ChampionChanged, PreconditionFailed, RegistryError
from frostline.registry.attempt_records import attempts
from frostline.registry.objects import Attempt, Pin, Promotion, check_words, now
from frostline.registry.promotions import champion, history
from frostline.registry.seals import parse
from frostline.registry.standings import PROVEN, standing
from frostline.registry.version import address, load, require_intact, versions


@dataclass(frozen=True)
class Reference:
    """A version to compare with.

    Attributes:
        version: its number.
        manifest_digest: of the version that was promoted or pinned.
        promotion: name of the promotion that made it the champion; empty if it never was.
        pinned: whether a person named it.
        attempt: the evaluation that it was promoted by, with its stored predictions; None if there is no record.
    """

    version: int
    manifest_digest: str
    promotion: str
    pinned: bool
    attempt: Attempt | None


def references(root: str, model: str) -> list[Reference]:
    """What to compare a new model with: the pinned version alone, or the reference and what replaces it if it is gone.

    If it is not pinned, the later champions follow, up to the current one. Empty before the first promotion.

    Raises:
        RegistryError: the model's name or an object is malformed.
    """
    entries, known = history(root, model), {one.attempt: one for one in attempts(root, model)}
    pin = pinned(root, model)
    if pin is not None and pin.version is not None and pin.manifest_digest is not None:
        promoted = [one for one in entries if one.version == pin.version and one.kind != "rollback"]
        name = promoted[-1].promotion if promoted else ""
        decided = promoted[-1].attempt if promoted else _nominated(root, model, pin.version)
        return [Reference(pin.version, pin.manifest_digest, name, True, known.get(decided or ""))]
    serving = champion(root, model)
    if serving is None:
        return []
    chain = list(_chain(entries, serving.version))
    first = _by_evidence(chain, known)
    return [
        Reference(one.version, one.manifest_digest, one.promotion, False, known.get(one.attempt or ""))
        for one in chain[chain.index(first) :: -1]
    ]


def _chain(entries: list[Promotion], version: int | None) -> Iterator[Promotion]:
    """The promotions that led to a version, the last one first: its own, that of the version it replaced, and so on."""
    promoted = {one.version: one for one in sorted(entries, key=lambda one: one.kind != "rollback")}
    passed = set()
    while version in promoted and version not in passed:
        yield promoted[version]
        passed.add(version)
        version = promoted[version].previous_version


def _by_evidence(chain: list[Promotion], known: dict[str, Attempt]) -> Promotion:
    """The promotion of the reference: the last one in the chain that was significantly better, or the first of all."""
    for place, one in enumerate(chain):
        decided = known.get(one.attempt or "")
        if decided is not None and decided.becomes_reference:
            return one
        if decided is not None and decided.reference is not None:
            of_it = [other for other in chain[place:] if other.version == decided.reference.version]
            if of_it:
                return of_it[0]
    return chain[-1]


def _nominated(root: str, model: str, number: int) -> str | None:
    found = standing(root, model, number)
    return None if found is None else found.attempt


def pinned(root: str, model: str) -> Pin | None:
    """What people last said about the reference; None if nothing.

    Raises:
        RegistryError: the model's name or the record is malformed.
    """
    found = pins(root, model)
    return found[-1] if found else None


def pins(root: str, model: str) -> list[Pin]:
    """All that people said about the reference, the first one first. Raises as `pinned` does."""
    uris = sorted(item.uri for item in storage.list_files(address(root, model, "pins")))
    return [parse(Pin, storage.read_bytes(uri), uri) for uri in uris]


def pin(root: str, model: str, number: int | None, *, approver: str, reason: str) -> Pin:
    """Name the reference, or with None let evidence decide again.

    Args:
        root: the registry.
        model: name of the model.
        number: of the version.
        approver: who decides, for the record.
        reason: why, for the record.

    Raises:
        ConfigError: approver or reason is empty, too long or not printable.
        RegistryError: there is no such version, it was rejected or removed, one of its files is not what was published,
            or nothing is pinned.
        StorageError: the registry cannot be written.
    """
    check_words("approver", approver)
    check_words("reason", reason)
    digest = None
    if number is not None:
        version = load(root, model, number)
        found = standing(root, model, number)
        if version is None or (found is not None and found.standing != PROVEN):
            known = [known.number for known in versions(root, model)]
            raise RegistryError(f"{root} has no version {number} of {model} to compare with; it has {known or 'none'}")
        require_intact(version)
        digest = version.manifest_digest
    else:
        last = pinned(root, model)
        if last is None or last.version is None:
            raise RegistryError(f"{root} has no pinned reference of {model}")
    record = Pin(
        model=model, version=number, manifest_digest=digest, approver=approver, reason=reason, pinned_at=now()
    )  # fmt: skip
    while True:
        name = f"{len(storage.list_files(address(root, model, 'pins'))) + 1:06d}-{uuid.uuid4().hex[:8]}"
        try:
            storage.write_bytes(
                address(root, model, "pins", f"{name}.json"), record.encode(), if_generation=storage.ABSENT
            )
        except PreconditionFailed:
            continue
        return record


def require_same(root: str, model: str, number: int, compared: Attempt) -> None:
    """Raise ChampionChanged if people named another reference since a version was compared with it."""
    last = pinned(root, model)
    now_pinned = None if last is None else last.version
    was = compared.reference
    if now_pinned != (was.version if was is not None and was.pinned else None):
        then = "no reference" if was is None else f"version {was.version}"
        serving = "no longer pinned" if now_pinned is None else f"version {now_pinned} now"
        raise ChampionChanged(f"{model}: the reference is {serving}; version {number} was compared with {then}")
