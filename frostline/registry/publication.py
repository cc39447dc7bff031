"""Publishing: a directory becomes the next version of a model, whole or not at all.

A number belongs to the content that claimed it. The claim has a digest of the metadata and of every file's path, size
and digest, and every attempt to publish exactly that content resumes with this number. No file is ever overwritten.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
from pathlib import Path

from frostline import artifacts, digests, storage
from frostline.documents.release import SIGNATURE_FILE, FileEntry, VersionManifest, VersionMetadata
from frostline.errors import NotFound, PreconditionFailed, RegistryError
from frostline.events import progress
from frostline.registry.objects import LAST_NUMBER, Claim, Manifest, now
from frostline.registry.seals import parse
from frostline.registry.standings import PROVEN, standing
from frostline.registry.version import (
    MANIFEST,
    REMOVED,
    Version,
    address,
    checksum,
    find,
    in_parallel,
    numbers,
    read_object,
    tombstone,
)

_SERVABLE = "saved_model.pb"
_ABANDONED = datetime.timedelta(days=1)  # publishing takes minutes, or hours if retries wait


class _SpoiledError(Exception):
    """A number that cannot become a version: other content is stored there, or it was given up."""


def publish(root: str, model: str, directory: Path, *, identity: str, metadata: VersionMetadata) -> Version:
    """Store a directory as the next version; readers see it whole or not at all, even if the writer dies.

    Args:
        root: the registry, a directory or gs://.
        model: name of the model.
        directory: a SavedModel at the top, and whatever else belongs to the model. Files are hard-linked where
            possible, so they must not be changed in place afterwards.
        identity: digest of what the version is. A finished version with the same identity is returned instead, unless
            it was rejected or removed.
        metadata: description of the model, for the manifest.

    Raises:
        RegistryError: there is nothing to publish, a stored file differs from its source, or no number is left.
        StorageError: the registry cannot be written.
    """
    files = _describe(directory)
    content = digests.of_json({"identity": identity, "files": files, "metadata": metadata})
    while True:
        taken = _take(root, model, identity, content)
        if isinstance(taken, Version):
            return taken
        manifest: VersionManifest = {
            "schema": artifacts.schema(Manifest.KIND),
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


def is_copy(version: Version, directory: Path, *, identity: str, metadata: VersionMetadata) -> bool:
    """Whether a version has exactly what `publish` would store, and not only the same identity; arguments as there."""
    manifest = version.manifest
    stored = {"identity": manifest["identity"], "files": manifest["files"], "metadata": manifest["metadata"]}
    ours = {"identity": identity, "files": _describe(directory), "metadata": metadata}
    return digests.of_json(stored) == digests.of_json(ours)


def claims(root: str, model: str) -> dict[int, Claim]:
    """The claims by number, in ascending order.

    Raises:
        RegistryError: the model's name or a claim is malformed.
    """
    taken = numbers(root, model, "claims")
    read = in_parallel(lambda number: read_claim(root, model, number), taken)
    return dict(zip(taken, read, strict=True))


def read_claim(root: str, model: str, number: int) -> Claim:
    """The claim of a number. Raises as `claims` does."""
    uri = _claim_uri(root, model, number)
    return parse(Claim, storage.read_bytes(uri), uri)


def give_up(root: str, model: str, number: int) -> bool:
    """Prevent a number from ever becoming a version; return False if it already is one."""
    uri = address(root, model, "versions", str(number), MANIFEST)
    try:
        storage.write_bytes(uri, tombstone(model, number), if_generation=storage.ABSENT)
    except PreconditionFailed:
        return find(root, model, number) == REMOVED
    return True


def _claim_uri(root: str, model: str, number: int) -> str:
    return address(root, model, "claims", f"{number}.json")


def _take(root: str, model: str, identity: str, content: str) -> Version | int:
    """The finished version of this identity; if there is none, the number that this content has or takes now."""
    known = claims(root, model)
    unfinished = []
    for number, claim in known.items():
        if claim.identity == identity:
            found = find(root, model, number)
            if isinstance(found, Version) and found.manifest["identity"] == identity and _is_usable(root, found):
                _renew(root, model, number)
                return found
            if found is None and claim.content == content:
                unfinished.append(number)
    if unfinished:
        _renew(root, model, unfinished[0])
        return unfinished[0]
    number = max(known, default=0) + 1
    while not _claim(root, model, number, identity, content):
        rival = read_claim(root, model, number)
        if (rival.identity, rival.content) == (identity, content):  # another attempt to publish the same
            return number
        number += 1
    return number


def _is_usable(root: str, version: Version) -> bool:
    found = standing(root, version.model, version.number)
    return found is None or found.standing == PROVEN


def _claim(root: str, model: str, number: int, identity: str, content: str) -> bool:
    if number > LAST_NUMBER:
        taken = _claim_uri(root, model, LAST_NUMBER)
        raise RegistryError(f"{taken}: has the last number; if nobody published that version, remove this file")
    claim = Claim(model=model, version=number, identity=identity, content=content, claimed_at=now())
    try:
        storage.write_bytes(_claim_uri(root, model, number), claim.encode(), if_generation=storage.ABSENT)
    except PreconditionFailed:
        return False
    return True


def _renew(root: str, model: str, number: int) -> None:
    """Update the time of an old claim whose publisher resumes, because prune removes what looks abandoned."""
    uri = _claim_uri(root, model, number)
    found = read_object(uri)
    if found is None:
        return
    claim = parse(Claim, found[0], uri)
    if not is_old(claim):
        return
    renewed = claim.model_copy(update={"claimed_at": now()})
    with contextlib.suppress(PreconditionFailed):  # another publisher resumed, too
        storage.write_bytes(uri, renewed.encode(), if_generation=found[1])


def is_old(claim: Claim) -> bool:
    """Whether the claim is a day old, so that its publisher is no longer running. A claim without a time is old."""
    if not claim.claimed_at:
        return True
    return datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(claim.claimed_at) > _ABANDONED


def _describe(directory: Path) -> dict[str, FileEntry]:
    """Digest and size of every file, in the order of upload."""
    paths = [Path(item.uri) for item in storage.list_files(str(directory))]
    paths.sort(key=lambda path: path.name == _SERVABLE)
    files: dict[str, FileEntry] = {
        path.relative_to(directory).as_posix(): {"sha256": digests.of_file(path), "size": path.stat().st_size}
        for path in paths
    }
    if not files or MANIFEST in files or SIGNATURE_FILE in files:
        expected = f"expected a model's files, and no {MANIFEST} or {SIGNATURE_FILE}"
        raise RegistryError(f"{directory}: {expected}; received {sorted(files)}")
    return files


def _store_all(directory: Path, uri: str, files: dict[str, FileEntry]) -> None:
    def store(relative: str) -> None:
        _store(directory / relative, storage.join(uri, relative), files[relative])

    others = in_parallel(store, [name for name in files if name != _SERVABLE])
    last = in_parallel(store, [name for name in files if name == _SERVABLE])  # starts when the others are stored
    for _ in progress(itertools.chain(others, last), total=len(files), unit="files"):
        pass


def _store(path: Path, uri: str, expected: FileEntry) -> None:
    """Store one file unless it is already there, and read it back in either case."""
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


def _finish(root: str, model: str, number: int, manifest: VersionManifest) -> Version:
    uri, data = address(root, model, "versions", str(number)), artifacts.encode(Manifest.KIND, manifest)
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
