"""The model registry: immutable versions, and one alias that says which of them serves.

    <root>/<model>/claims/<N>.json          who took the number, by exclusive create
    <root>/<model>/versions/<N>/            a TF Serving model directory; a version once manifest.json is there
    <root>/<model>/aliases/champion.json    the version that serves; changes by compare-and-swap only
    <root>/<model>/promotions/<id>.json     what the alias ever said, one object each

Claims stand outside `versions/` because TF Serving loads the highest number there as soon as its directory exists.
For the same reason `saved_model.pb` is the last file before the manifest.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from frostline import artifacts, digests, storage
from frostline.artifacts import Json
from frostline.config import RunConfig
from frostline.errors import ChampionChanged, ConfigError, NotFound, PreconditionFailed, RegistryError, StorageError
from frostline.events import progress
from frostline.section import parse

MANIFEST = "manifest.json"
_SERVABLE = "saved_model.pb"
_PIECE = 32 * 2**20  # bytes held in memory while a stored file is checked
_REFERENCE = re.compile(r"registry:(?P<model>[^@/]+)(?:@champion|/(?P<number>[1-9][0-9]{0,8}))?")
_CLAIM = re.compile(r"([1-9][0-9]*)\.json")


@dataclass(frozen=True)
class Version:
    """A finished version: its number, its directory, its manifest and the SHA-256 of the manifest's bytes."""

    model: str
    number: int
    uri: str
    manifest: Json
    manifest_digest: str


@dataclass(frozen=True)
class Alias:
    """What `champion` named when it was read; `generation` is the precondition for changing it."""

    version: int
    manifest_digest: str
    generation: str


def champion(root: str, model: str) -> Alias | None:
    """The alias of the version that serves; None before the first promotion.

    Raises:
        RegistryError: the model's name or the alias is malformed.
    """
    found = _read_alias(root, model)
    return None if found is None else found[0]


def resolve(root: str, reference: str) -> Version:
    """The version that `registry:NAME@champion`, `registry:NAME` (the same) or `registry:NAME/N` names now.

    Raises:
        RegistryError: the reference is malformed, or the registry does not hold what it names.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise RegistryError(f"received {reference!r}; expected registry:MODEL@champion or registry:MODEL/NUMBER")
    model, number = match["model"], match["number"]
    if number is not None:
        version = _load(root, model, int(number))
        if version is None:
            numbers = [known.number for known in versions(root, model)]
            raise RegistryError(f"{reference}: {root} has no such version; it has {numbers or 'none of this model'}")
        return version
    alias = champion(root, model)
    if alias is None:
        raise RegistryError(f"{reference}: {root} has no champion of {model}; push a model of that name first")
    version = _load(root, model, alias.version)
    if version is None or version.manifest_digest != alias.manifest_digest:
        raise RegistryError(f"{reference}: version {alias.version} in {root} is not the one that was promoted")
    return version


def versions(root: str, model: str) -> list[Version]:
    """The finished versions in ascending order; a number whose publisher died is none.

    Raises:
        RegistryError: the model's name or a manifest is malformed.
    """
    found = (_load(root, model, number) for number in _claimed(root, model))
    return [version for version in found if version is not None]


def publish(root: str, model: str, directory: Path, *, identity: str, metadata: Json) -> Version:
    """Store a directory as the next version; readers see it whole or not at all, also when the writer dies.

    Args:
        root: the registry, a directory or gs://.
        model: name of the model.
        directory: SavedModel at its top and whatever else belongs to the model. Files are hard-linked where that
            will do, so they must not be changed in place afterwards.
        identity: digest of what the version is. A finished version of the same identity is returned instead.
        metadata: what the manifest tells about the model.

    Raises:
        RegistryError: there is nothing to publish, or a stored file differs from its source.
        StorageError: the registry cannot be written.
    """
    for version in versions(root, model):
        if version.manifest["identity"] == identity:
            return version
    files = _describe(directory)
    number = _claim(root, model, identity)
    uri = _address(root, model, "versions", str(number))
    for relative in progress(files, total=len(files), unit="file"):
        _store(directory / relative, storage.join(uri, relative), files[relative])
    manifest = {
        "schema": artifacts.schema("version"),
        "model": model,
        "version": number,
        "identity": identity,
        "files": files,
        "metadata": metadata,
    }
    data = artifacts.encode("version", manifest)
    storage.write_bytes(storage.join(uri, MANIFEST), data, if_generation=storage.ABSENT)
    return Version(model, number, uri, manifest, digests.of_bytes(data))


def promote(root: str, version: Version, *, expected: Alias | None, reason: str) -> Alias:
    """Make a version the champion, if the champion still is the one that it was compared with.

    Args:
        root: the registry.
        version: the version to serve.
        expected: the champion of the comparison; None if there was none.
        reason: why, in one line, for the record.

    Raises:
        ChampionChanged: the alias is not, or no longer, `expected`; it was left alone.
        StorageError: the registry cannot be written.
    """
    _record(root, version.model)  # the promotion before this one, in case its writer died before it could
    now = datetime.datetime.now(datetime.UTC)
    document = {
        "schema": artifacts.schema("alias"),
        "model": version.model,
        "version": version.number,
        "manifest_digest": version.manifest_digest,
        "previous_version": None if expected is None else expected.version,
        "reason": reason,
        "promoted_at": now.isoformat(timespec="seconds"),
        "promotion": f"{now:%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}",
    }
    generation = storage.ABSENT if expected is None else expected.generation
    try:
        stored = storage.write_bytes(
            _alias_uri(root, version.model), artifacts.encode("alias", document), if_generation=generation
        )
    except PreconditionFailed:
        compared = "no champion" if expected is None else f"version {expected.version}"
        found = champion(root, version.model)
        serving = "none" if found is None else f"version {found.version}"
        raise ChampionChanged(
            f"{version.model}: the champion is {serving} now; version {version.number} was compared with {compared}"
        ) from None
    _record(root, version.model)
    return Alias(version.number, version.manifest_digest, stored.generation)


def download(version: Version, into: Path) -> Path:
    """The version's directory on this machine, every file checked against the manifest.

    A registry in a local directory is read where it is; from a bucket, the files land below `into`.

    Raises:
        RegistryError: a file is missing, differs in size or digest, or its path leads out of the directory.
    """
    files = version.manifest["files"]
    directory = into
    for relative, expected in progress(files.items(), total=len(files), unit="file"):
        try:
            uri = storage.join(version.uri, relative)
            path = storage.localize(uri, (into / relative).parent)
        except StorageError as error:
            raise RegistryError(f"{version.uri}: {error}") from error
        received = {"sha256": digests.of_file(path), "size": path.stat().st_size} if path.is_file() else "a directory"
        if received != expected:
            raise RegistryError(f"{uri}: received {received}; its manifest says {expected}")
        directory = path.parents[len(PurePosixPath(relative).parts) - 1]
    return directory


def _address(root: str, model: str, *parts: str) -> str:
    try:
        parse(RunConfig, {"model_name": model})
    except ConfigError as error:
        raise RegistryError(str(error)) from None
    return storage.join(root, model, *parts)


def _alias_uri(root: str, model: str) -> str:
    return _address(root, model, "aliases", "champion.json")


def _claimed(root: str, model: str) -> list[int]:
    names = (PurePosixPath(item.uri).name for item in storage.list_files(_address(root, model, "claims")))
    return sorted(int(match[1]) for match in map(_CLAIM.fullmatch, names) if match)


def _claim(root: str, model: str, identity: str) -> int:
    number = max(_claimed(root, model), default=0) + 1
    while True:
        claim = {"schema": artifacts.schema("claim"), "model": model, "version": number, "identity": identity}
        try:
            storage.write_bytes(
                _address(root, model, "claims", f"{number}.json"),
                artifacts.encode("claim", claim),
                if_generation=storage.ABSENT,
            )
        except PreconditionFailed:
            number += 1
        else:
            return number


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


def _store(path: Path, uri: str, expected: Json) -> None:
    stored = storage.upload_file(path, uri, if_generation=storage.ABSENT)
    digest = hashlib.sha256()
    for offset in range(0, stored.size, _PIECE):
        digest.update(storage.read_bytes(uri, offset=offset, length=min(_PIECE, stored.size - offset)))
    if (digest.hexdigest(), stored.size) != (expected["sha256"], expected["size"]):
        raise RegistryError(f"{uri}: what was stored differs from {path}; the version is not finished, publish again")


def _load(root: str, model: str, number: int) -> Version | None:
    uri = _address(root, model, "versions", str(number))
    try:
        data = storage.read_bytes(storage.join(uri, MANIFEST))
    except NotFound:
        return None
    expected = {"model": str, "version": int, "identity": str, "files": dict, "metadata": dict}
    manifest = _decode(data, storage.join(uri, MANIFEST), "version", expected)
    if (manifest["model"], manifest["version"]) != (model, number) or not manifest["files"]:
        raise RegistryError(f"{uri}: its manifest describes {manifest['model']} version {manifest['version']}")
    return Version(model, number, uri, manifest, digests.of_bytes(data))


def _read_alias(root: str, model: str) -> tuple[Alias, bytes] | None:
    """The alias and its bytes, of one and the same generation."""
    uri = _alias_uri(root, model)
    before = storage.stat(uri)
    while before is not None:
        data = storage.read_bytes(uri)
        after = storage.stat(uri)
        if after == before:
            document = _decode(data, uri, "alias", {"version": int, "manifest_digest": str, "promotion": str})
            return Alias(document["version"], document["manifest_digest"], before.generation), data
        before = after
    return None


def _record(root: str, model: str) -> None:
    """Append what the alias says to the promotions, unless it is there."""
    found = _read_alias(root, model)
    if found is None:
        return
    uri = _address(root, model, "promotions", f"{json.loads(found[1])['promotion']}.json")
    try:
        storage.write_bytes(uri, found[1], if_generation=storage.ABSENT)
    except PreconditionFailed:
        return


def _decode(data: bytes, uri: str, kind: str, fields: dict[str, type[Any]]) -> Json:
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("schema") != artifacts.schema(kind):
        raise RegistryError(f"{uri}: is not a {artifacts.schema(kind)} file")
    for name, wanted in fields.items():
        if type(document.get(name)) is not wanted:
            raise RegistryError(f"{uri}: {name}: received {document.get(name)!r}; expected {wanted.__name__}")
    return document
