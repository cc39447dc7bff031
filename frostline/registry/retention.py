"""Removing old versions and what dead publishers left, while publishers, promotions and readers go on.

A version stops existing in one write, of a manifest that says `removed`; its files go after that. Whoever finds such a
manifest with files beside it finishes the work.
"""

from __future__ import annotations

from dataclasses import dataclass

from frostline import storage
from frostline.errors import ConfigError, PreconditionFailed, RegistryError
from frostline.registry.approvals import is_waiting, previous_champion, states
from frostline.registry.promotions import PROVEN, REMOVED, Alias, champion, mark_removed, read_standing
from frostline.registry.publication import Claim, claims, give_up, is_old
from frostline.registry.version import MANIFEST, Version, address, find, tombstone, versions
from frostline.storage import Stat


@dataclass(frozen=True)
class Removal:
    """What was removed, or would be.

    Attributes:
        number: of the version, or of the claim.
        state: as `states` calls it; `abandoned` for files that never became a version, `half removed` for those
            that an interrupted removal left.
        files: how many files.
        size: bytes.
    """

    number: int
    state: str
    files: int
    size: int


def prune(root: str, model: str, *, keep: int, dry_run: bool = False) -> list[Removal]:
    """Remove all but the newest finished versions, and the files of claims that were abandoned a day ago or earlier.

    Never removed: the champion, the version that a rollback goes back to, a candidate that waits, and a version whose
    push may still be proving it.

    Args:
        root: the registry.
        model: name of the model.
        keep: how many of the newest versions stay in any case, at least 1.
        dry_run: only tell.

    Returns:
        What was removed, in ascending order of the number; with `dry_run`, what would be.

    Raises:
        ConfigError: `keep` is less than 1.
        RegistryError: there is nothing of this model, or an object of the registry is malformed.
        StorageError: the registry cannot be read or written.
    """
    if keep < 1:
        raise ConfigError("--keep", keep, "expected at least 1")
    finished = versions(root, model)
    known = states(root, model)
    taken = {claim.number: claim for claim in claims(root, model)}  # after the versions: each of them has one
    if not taken:
        raise RegistryError(f"{root}: there is no version of {model!r}")
    removals, targets = [], _Targets(root, model)
    for version in finished:
        # One that is marked as removed is half removed by a prune that died.
        old = version in finished[:-keep] or known.get(version.number) == REMOVED
        if old and _retire(root, version, taken[version.number], targets, dry_run):
            removals.append(_clear(root, model, version.number, known.get(version.number, "superseded"), dry_run))
    alive = {version.number for version in finished}
    for number in sorted(taken.keys() - alive):
        found = find(root, model, number)
        if isinstance(found, Version) or not _files(root, model, number):
            continue  # finished meanwhile, or nothing to remove
        if found is None and not (is_old(taken[number]) and (dry_run or give_up(root, model, number))):
            continue
        removals.append(_clear(root, model, number, "abandoned" if found is None else "half removed", dry_run))
    if not dry_run:
        storage.sweep(address(root, model))
    return sorted(removals, key=lambda removal: removal.number)


class _Targets:
    """The version that a rollback goes back to, looked up once for each champion that is met."""

    def __init__(self, root: str, model: str) -> None:
        self._root, self._model = root, model
        self._known: dict[str | None, int | None] = {}

    def of(self, serving: Alias | None) -> int | None:
        promotion = None if serving is None else serving.promotion
        if promotion not in self._known:
            self._known[promotion] = previous_champion(self._root, self._model)
        return self._known[promotion]


def _retire(root: str, version: Version, claim: Claim, targets: _Targets, dry_run: bool) -> bool:
    """Let a version exist no longer, if it may go; whether it went."""
    # The standing before the alias. Who promotes the version changes its standing first, so either the comparison is
    # seen here, and the alias that it waits for, or `mark_removed` is refused.
    found, generation = read_standing(root, version.model, version.number)
    serving = champion(root, version.model)
    if serving is not None and serving.version == version.number:
        return False
    if found is not None and found.word == PROVEN and is_waiting(found.compared_with, serving):
        return False
    if (found is None and not is_old(claim)) or version.number == targets.of(serving):
        return False
    if dry_run:
        return True
    if not mark_removed(root, version, found, generation):
        return False
    uri = storage.join(version.uri, MANIFEST)
    stored = storage.stat(uri)
    try:
        if stored is not None:
            data = tombstone(version.model, version.number)
            storage.write_bytes(uri, data, if_generation=stored.generation)
    except PreconditionFailed:  # another prune was faster
        pass
    return True


def _clear(root: str, model: str, number: int, state: str, dry_run: bool) -> Removal:
    files = _files(root, model, number)
    for item in () if dry_run else files:
        storage.delete(item.uri)
    return Removal(number, state, len(files), sum(item.size for item in files))


def _files(root: str, model: str, number: int) -> list[Stat]:
    uri = address(root, model, "versions", str(number))
    return [item for item in storage.list_files(uri) if item.uri != storage.join(uri, MANIFEST)]
