"""Removing old versions and the remains of dead publishers, while publishers, promotions and readers keep running.

One write removes a version: its manifest then says `removed`. Its files are deleted after that. If that is interrupted,
the next prune finds such a manifest with files beside it and deletes them.
"""

from __future__ import annotations

from dataclasses import dataclass

from frostline import storage
from frostline.errors import ConfigError, PreconditionFailed, RegistryError
from frostline.registry.approvals import is_waiting, previous_champion, states
from frostline.registry.objects import Alias, Claim
from frostline.registry.promotions import champion
from frostline.registry.publication import claims, give_up, is_old
from frostline.registry.reference import references
from frostline.registry.standings import PROVEN, mark_removed, read_standing
from frostline.registry.version import MANIFEST, REMOVED, Version, address, find, tombstone, versions
from frostline.storage import Stat


@dataclass(frozen=True)
class Removal:
    """What was removed, or would be.

    Attributes:
        number: of the version, or of the claim.
        state: as `states` gives it; `abandoned` for files that never became a version, `half removed` for files that
            an interrupted removal left.
        files: their addresses.
        size: bytes.
    """

    number: int
    state: str
    files: tuple[str, ...]
    size: int


def prune(root: str, model: str, *, keep: int, dry_run: bool = False) -> list[Removal]:
    """Remove all but the newest finished versions, and the files of claims that were abandoned a day ago or earlier.

    It never removes the champion, the version that a rollback returns to, the reference, a candidate that waits for
    approval, or a version whose push may still be proving it.

    Args:
        root: the registry.
        model: name of the model.
        keep: number of newest versions to keep in any case, at least 1.
        dry_run: remove nothing.

    Returns:
        What was removed (with `dry_run`, what would be removed), in ascending order of the number.

    Raises:
        ConfigError: `keep` is less than 1.
        RegistryError: there is nothing of this model, or an object of the registry is malformed.
        StorageError: the registry cannot be read or written.
    """
    if keep < 1:
        raise ConfigError("--keep", keep, "expected at least 1")
    finished = versions(root, model)
    known = states(root, model)
    taken = claims(root, model)  # read after the versions, so that each of them has one
    if not taken:
        raise RegistryError(f"{root}: there is no version of {model!r}")
    removals, needed = [], _Needed(root, model)
    for version in finished:
        # A version that is marked as removed was left half removed by a prune that died.
        old = version in finished[:-keep] or known.get(version.number) == REMOVED
        if old and _retire(root, version, taken[version.number], needed, dry_run):
            removals.append(_clear(root, model, version.number, known.get(version.number, "superseded"), dry_run))
    alive = {version.number for version in finished}
    for number in sorted(taken.keys() - alive):
        found = find(root, model, number)
        if isinstance(found, Version) or not _files(root, model, number):
            continue  # finished since then, or nothing to remove
        if found is None and not (is_old(taken[number]) and (dry_run or give_up(root, model, number))):
            continue
        removals.append(_clear(root, model, number, "abandoned" if found is None else "half removed", dry_run))
    if not dry_run:
        storage.sweep(address(root, model))
    return sorted(removals, key=lambda removal: removal.number)


class _Needed:
    """The version that a rollback returns to and the one that new models are compared with, once per champion."""

    def __init__(self, root: str, model: str) -> None:
        self._root, self._model = root, model
        self._known: dict[str | None, set[int | None]] = {}

    def by(self, serving: Alias | None) -> set[int | None]:
        promotion = None if serving is None else serving.promotion
        if promotion not in self._known:
            compared = {one.version for one in references(self._root, self._model)[:1]}
            self._known[promotion] = {previous_champion(self._root, self._model), *compared}
        return self._known[promotion]


def _retire(root: str, version: Version, claim: Claim, needed: _Needed, dry_run: bool) -> bool:
    """Remove a version, files apart, if it is not needed; return whether it was removed."""
    # The standing is read before the alias. A promotion changes the standing first, so either the new comparison and
    # its champion are seen here, or `mark_removed` fails.
    found, generation = read_standing(root, version.model, version.number)
    serving = champion(root, version.model)
    if serving is not None and serving.version == version.number:
        return False
    if found is not None and found.standing == PROVEN and is_waiting(found.compared_with, serving):
        return False
    if (found is None and not is_old(claim)) or version.number in needed.by(serving):
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
    return Removal(number, state, tuple(item.uri for item in files), sum(item.size for item in files))


def _files(root: str, model: str, number: int) -> list[Stat]:
    uri = address(root, model, "versions", str(number))
    return [item for item in storage.list_files(uri) if item.uri != storage.join(uri, MANIFEST)]
