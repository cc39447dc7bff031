"""What people decide about versions: approving a candidate, and rolling back to an earlier champion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from frostline.documents.release import DECISION
from frostline.errors import ChampionChanged, RegistryError
from frostline.registry import reference
from frostline.registry.attempt_records import attempts
from frostline.registry.objects import Alias, Standing, check_words
from frostline.registry.promotions import champion, history, promote, require_champion
from frostline.registry.standings import PROVEN, standing
from frostline.registry.version import Version, load, read_document, require_intact, versions


def candidate(root: str, model: str, number: int) -> tuple[Version, Standing]:
    """The version of this number and its standing, if a person may decide to promote it.

    Whether its model verifies is for the caller to check.

    Raises:
        ChampionChanged: the champion or the reference is not the version that it was compared with.
        RegistryError: there is no such version, its decision was not to promote, it is the champion, not proven,
            rejected or removed, or one of its files is not what was published.
        StorageError: the registry cannot be read.
    """
    version = load(root, model, number)
    if version is None:
        known = [known.number for known in versions(root, model)]
        raise RegistryError(f"{root} has no version {number} of {model}; it has {known or 'none'}")
    serving = champion(root, model)
    if serving is not None and serving.version == number:
        raise RegistryError(f"{model} version {number} is already the champion")
    verdict = read_document(version, DECISION).get("verdict")
    if verdict != "promote":
        raise RegistryError(f"{version.uri}: received the verdict {verdict!r}; only 'promote' can be approved")
    found = standing(root, model, number)
    if found is None or found.kind == "rollback":
        raise RegistryError(f"{model} version {number} is not proven; run its push again")
    if found.standing != PROVEN:
        raise RegistryError(f"{model} version {number} was {found.standing}: {found.reason}")
    require_intact(version)
    with _told_to_run_again():
        require_champion(root, version, found.compared_with)
        compared = [one for one in attempts(root, model) if one.attempt == found.attempt]
        if compared:  # else the candidate is from a registry made before attempts
            reference.require_same(root, model, number, compared[0])
    return version, found


@contextmanager
def _told_to_run_again() -> Iterator[None]:
    try:
        yield
    except ChampionChanged as error:
        raise ChampionChanged(f"{error}; run the pipeline again to compare them") from None


def approve(root: str, model: str, number: int, *, approver: str, reason: str) -> Alias:
    """Make a candidate the champion, if the champion is still the one that it was compared with.

    Args:
        root: the registry.
        model: name of the model.
        number: of the candidate.
        approver: who decides, for the record.
        reason: why, for the record.

    Raises:
        ConfigError: approver or reason is empty, too long or not printable.
        ChampionChanged, RegistryError: the version is no `candidate`.
        StorageError: the registry cannot be written.
    """
    check_words("approver", approver)
    check_words("reason", reason)
    version, found = candidate(root, model, number)
    with _told_to_run_again():
        return promote(
            root,
            version,
            expected=found.compared_with,
            reason=reason,
            kind="approval",
            approver=approver,
            test_split=found.test_split,
            attempt=found.attempt,
        )


def rollback(root: str, model: str, *, to: int | None = None, approver: str, reason: str) -> Alias:
    """Make an earlier champion the champion again, by one change of the alias.

    Args:
        root: the registry.
        model: name of the model.
        to: number of an earlier champion; None for what `previous_champion` returns.
        approver: who decides, for the record.
        reason: why, for the record.

    Raises:
        ConfigError: approver or reason is empty, too long or not printable.
        ChampionChanged: the champion changed while this ran.
        RegistryError: there is no such earlier champion, it was rejected or removed, or one of its files is not what
            was published.
        StorageError: the registry cannot be written.
    """
    check_words("approver", approver)
    check_words("reason", reason)
    serving = champion(root, model)
    if serving is None:
        raise RegistryError(f"{root} has no champion of {model} to roll back from")
    number, promoted = previous_champion(root, model) if to is None else to, _promoted(root, model)
    if number is None:
        others = sorted(promoted.keys() - {serving.version})
        hint = f"choose another one with --to: {others}" if others else "there is no version to roll back to"
        raise RegistryError(f"{model} version {serving.version} has no previous champion; {hint}")
    if number == serving.version:
        raise RegistryError(f"{model} version {number} is already the champion")
    if number not in promoted:
        raise RegistryError(f"{model} version {number} was never the champion; champions were {sorted(promoted)}")
    version = _as_promoted(root, model, number, promoted)
    if version is None:
        problem = "was removed, or is not what was promoted"
        raise RegistryError(f"{model} version {number} {problem}; it cannot become the champion")
    require_intact(version)
    return promote(root, version, expected=serving, reason=reason, kind="rollback", approver=approver)


def previous_champion(root: str, model: str) -> int | None:
    """The version that a rollback returns to; None if there is none.

    It is the version that the champion replaced when it was promoted. If that one was rejected, removed or changed, it
    is the one before, and so on. So a further rollback never returns to a version that was rolled back from.
    """
    serving, promoted = champion(root, model), _promoted(root, model)
    replaced = {entry.version: entry.previous_version for entry in history(root, model) if entry.kind != "rollback"}
    number = None if serving is None else replaced.get(serving.version)
    passed = set() if serving is None else {serving.version}
    while number is not None and number not in passed:
        found = standing(root, model, number)
        if (found is None or found.standing == PROVEN) and _as_promoted(root, model, number, promoted):
            return number
        passed.add(number)
        number = replaced.get(number)
    return None


def states(root: str, model: str) -> dict[int, str]:
    """The state of each finished version, by number, in ascending order.

    `champion`: in production; `candidate`: compared with the champion and waiting for approval; `earlier champion`;
    `superseded`: compared with an earlier champion; `rejected`: failed its proof; `removed`: being removed;
    `unproven`: not proven yet.

    Raises:
        RegistryError: the model's name or an object is malformed.
    """
    numbers = [version.number for version in versions(root, model)]
    serving, promoted = champion(root, model), _promoted(root, model)
    return {number: _state(root, model, number, serving, promoted) for number in numbers}


def _state(root: str, model: str, number: int, serving: Alias | None, promoted: dict[int, str]) -> str:
    if serving is not None and serving.version == number:
        return "champion"
    found = standing(root, model, number)
    if found is not None and found.standing != PROVEN:
        return found.standing
    if found is not None and found.kind != "rollback" and is_waiting(found.compared_with, serving):
        return "candidate"
    if number in promoted:
        return "earlier champion"
    return "unproven" if found is None else "superseded"


def is_waiting(compared_with: Alias | None, serving: Alias | None) -> bool:
    """Whether a version that was compared with one champion can still replace it."""
    return (compared_with and compared_with.promotion) == (serving and serving.promotion)


def _promoted(root: str, model: str) -> dict[int, str]:
    """The manifest's digest of every version that was ever the champion."""
    return {entry.version: entry.manifest_digest for entry in history(root, model)}


def _as_promoted(root: str, model: str, number: int, promoted: dict[int, str]) -> Version | None:
    version = load(root, model, number)
    return version if version is not None and version.manifest_digest == promoted.get(number) else None
