"""Publishing: a directory becomes the next version of a model, whole or not at all, whoever dies or repeats it.

A number belongs to the content that claimed it: the claim carries a digest of every path, size, digest and of the
metadata, and every attempt to publish just that goes on with the number. No file is ever overwritten.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
from dataclasses import dataclass
from pathlib import Path

from frostline import artifacts, digests, storage
from frostline.artifacts import Json
from frostline.errors import NotFound, PreconditionFailed, RegistryError
from frostline.events import progress
from frostline.registry import objects
from frostline.registry.promotions import PROVEN, standing
from frostline.registry.version import (
    MANIFEST,
    REMOVED,
    Version,
    address,
    check,
    checksum,
    decode,
    find,
    in_parallel,
    numbers,
    read_object,
    tombstone,
)

_SERVABLE = "saved_model.pb"
_ABANDONED = datetime.timedelta(days=1)  # a publisher takes minutes; hours where retries wait


@dataclass(frozen=True)
class Claim:
    """Who took a number, and when.

    Attributes:
        identity: what the version is; what is published again later is the version that is there.
        content: digest of all that is to be published.
        claimed_at: ISO 8601, UTC, by the clock of who last went on with it.
    """

    number: int
    identity: str
    content: str
    claimed_at: str


class _SpoiledError(Exception):
    """A number that cannot become a version: what is there is not what was claimed, or it was given up."""


def publish(root: str, model: str, directory: Path, *, identity: str, metadata: Json) -> Version:
    """Store a directory as the next version; readers see it whole or not at all, also when the writer dies.

    Args:
        root: the registry, a directory or gs://.
        model: name of the model.
        directory: SavedModel at its top and whatever else belongs to the model, for the registry to keep: files are
            hard-linked where that will do, so they must not be changed in place afterwards.
        identity: digest of what the version is. A finished version of the same identity is returned instead, unless
            it was rejected or removed.
        metadata: what the manifest tells about the model.

    Raises:
        RegistryError: there is nothing to publish, or a stored file differs from its source.
        StorageError: the registry cannot be written.
    """
    files = _describe(directory)
    content = digests.of_json({"identity": identity, "files": files, "metadata": metadata})
    while True:
        taken = _take(root, model, identity, content)
        if isinstance(taken, Version):
            return taken
        manifest = {
            "schema": artifacts.schema("version"),
            "model": model,
            "version": taken,
            "identity": identity,
            "content": content,
            "files": files,
            "metadata": metadata,
        }
        try:
            _store_all(directory, address(root, model, "versions", str(taken)), files)
            return _finish(root, model, taken, manifest)
        except _SpoiledError:
            give_up(root, model, taken)


def claims(root: str, model: str) -> list[Claim]:
    """Every number that was taken, in ascending order.

    Raises:
        RegistryError: the model's name or a claim is malformed.
    """
    return list(in_parallel(lambda number: read_claim(root, model, number), numbers(root, model, "claims")))


def read_claim(root: str, model: str, number: int) -> Claim:
    """Who took a number. Raises as `claims` does."""
    uri = _claim_uri(root, model, number)
    found = check(objects.Claim, decode(storage.read_bytes(uri), uri, "claim"), uri)
    return Claim(number, found.identity, found.content, found.claimed_at)


def give_up(root: str, model: str, number: int) -> bool:
    """Let a number never become a version; False if it is one already."""
    uri = address(root, model, "versions", str(number), MANIFEST)
    try:
        storage.write_bytes(uri, tombstone(model, number), if_generation=storage.ABSENT)
    except PreconditionFailed:
        return find(root, model, number) == REMOVED
    return True


def _claim_uri(root: str, model: str, number: int) -> str:
    return address(root, model, "claims", f"{number}.json")


def _take(root: str, model: str, identity: str, content: str) -> Version | int:
    """The finished version of this identity, else the number that this content has or now takes."""
    known = claims(root, model)
    unfinished = []
    for claim in known:
        if claim.identity == identity:
            found = find(root, model, claim.number)
            if isinstance(found, Version) and _is_usable(root, found):
                _renew(root, model, claim.number)
                return found
            if found is None and claim.content == content:
                unfinished.append(claim.number)
    if unfinished:
        _renew(root, model, unfinished[0])
        return unfinished[0]
    number = known[-1].number + 1 if known else 1
    while not _claim(root, model, number, identity, content):
        rival = read_claim(root, model, number)
        if (rival.identity, rival.content) == (identity, content):  # another attempt at the very same
            return number
        number += 1
    return number


def _is_usable(root: str, version: Version) -> bool:
    found = standing(root, version.model, version.number)
    return found is None or found.word == PROVEN


def _claim(root: str, model: str, number: int, identity: str, content: str) -> bool:
    claim = {"model": model, "version": number, "identity": identity, "content": content, "claimed_at": _now()}
    try:
        data = artifacts.encode("claim", claim)
        storage.write_bytes(_claim_uri(root, model, number), data, if_generation=storage.ABSENT)
    except PreconditionFailed:
        return False
    return True


def _renew(root: str, model: str, number: int) -> None:
    """Date a claim anew whose publisher goes on, if it is old: what looks abandoned is removed by prune."""
    uri = _claim_uri(root, model, number)
    found = read_object(uri)
    if found is None or not is_old(read_claim(root, model, number)):
        return
    renewed = {**decode(found[0], uri, "claim"), "claimed_at": _now()}
    with contextlib.suppress(PreconditionFailed):  # another one went on, too
        storage.write_bytes(uri, artifacts.encode("claim", renewed), if_generation=found[1])


def is_old(claim: Claim) -> bool:
    """Whether a publisher of this claim is surely not at work any more. A claim without a date is from long ago."""
    if not claim.claimed_at:
        return True
    return datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(claim.claimed_at) > _ABANDONED


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _describe(directory: Path) -> dict[str, Json]:
    """Digest and size of every file, in the order of upload."""
    paths = [Path(item.uri) for item in storage.list_files(str(directory))]
    paths.sort(key=lambda path: path.name == _SERVABLE)
    files = {
        path.relative_to(directory).as_posix(): {"sha256": digests.of_file(path), "size": path.stat().st_size}
        for path in paths
    }
    if not files or MANIFEST in files:
        raise RegistryError(f"{directory}: expected a model's files, and no {MANIFEST}; received {sorted(files)}")
    return files


def _store_all(directory: Path, uri: str, files: dict[str, Json]) -> None:
    def store(relative: str) -> None:
        _store(directory / relative, storage.join(uri, relative), files[relative])

    others = in_parallel(store, [name for name in files if name != _SERVABLE])
    last = in_parallel(store, [name for name in files if name == _SERVABLE])  # begins when the others are stored
    for _ in progress(itertools.chain(others, last), total=len(files), unit="files"):
        pass


def _store(path: Path, uri: str, expected: Json) -> None:
    """Store one file unless it is there, and read it back in either case."""
    stored, own = storage.stat(uri), False
    if stored is None:
        try:
            stored, own = storage.upload_file(path, uri, if_generation=storage.ABSENT), True
        except PreconditionFailed:
            stored = storage.stat(uri)
    try:
        received = None if stored is None else checksum(uri, stored.size)
    except NotFound:
        received = None
    if received == expected:
        return
    if own and received is not None:
        raise RegistryError(f"{uri}: what was stored differs from {path}; the version is not finished, publish again")
    raise _SpoiledError


def _finish(root: str, model: str, number: int, manifest: Json) -> Version:
    uri, data = address(root, model, "versions", str(number)), artifacts.encode("version", manifest)
    try:
        storage.write_bytes(storage.join(uri, MANIFEST), data, if_generation=storage.ABSENT)
    except PreconditionFailed:
        found = find(root, model, number)
        if not isinstance(found, Version):
            raise _SpoiledError from None
        if found.manifest_digest != digests.of_bytes(data):
            raise RegistryError(f"{uri}: another version was finished under this number; publish again") from None
        return found
    return Version(model, number, uri, manifest, digests.of_bytes(data))
