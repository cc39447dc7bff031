"""The versions in a registry: where their files are, what their manifests say, and how they are read.

A version exists as long as its manifest does. Where a version was removed, or never will be one, the manifest says
`removed`. The first to create the manifest decides: the publisher, or whoever removes the remains.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar, cast

from frostline import artifacts, digests, storage
from frostline.documents.kinds import Document
from frostline.documents.release import MANIFEST_FILE, SIGNATURE_FILE, FileEntry, VersionManifest
from frostline.errors import NotFound, RegistryError, StorageError
from frostline.events import progress
from frostline.files import open_regular
from frostline.registry import seals
from frostline.registry.objects import SEALED_BY_CONTENT, Manifest
from frostline.section import check_model_name
from frostline.text import os_reason

T = TypeVar("T")
R = TypeVar("R")
J = TypeVar("J", bound=Mapping[str, Any])
MANIFEST = MANIFEST_FILE
REMOVED: Literal["removed"] = "removed"
_THREADS = 4
_PIECE = 2**20  # bytes that are copied at a time
_NUMBERED = re.compile(r"([1-9][0-9]{0,8})\.json")


@dataclass(frozen=True)
class Version:
    """A finished version: its number, its directory, its manifest and the SHA-256 of the manifest's bytes."""

    model: str
    number: int
    uri: str
    manifest: VersionManifest
    manifest_digest: str


def address(root: str, model: str, *parts: str) -> str:
    """An address below a model's part of the registry.

    Raises:
        RegistryError: the model's name is malformed.
    """
    try:
        check_model_name(model)
    except ValueError as error:
        raise RegistryError(f"model_name: received {model!r}; {error}") from None
    return storage.join(root, model, *parts)


def find(root: str, model: str, number: int) -> Version | Literal["removed"] | None:
    """The version of a number; REMOVED where it was removed or given up, None where it is not finished.

    Raises:
        RegistryError: the model's name or the manifest is malformed.
    """
    uri = address(root, model, "versions", str(number))
    try:
        data = storage.read_bytes(storage.join(uri, MANIFEST))
    except NotFound:
        return None
    if artifacts.schema("removed").encode() in data[:100]:  # the schema comes first
        return REMOVED
    origin = storage.join(uri, MANIFEST)
    document = seals.decode(data, origin, Manifest.KIND)
    seals.check(Manifest, document, origin)
    seals.require_written(document, "content", {key: document[key] for key in SEALED_BY_CONTENT}, Manifest, origin)
    manifest = cast(VersionManifest, document)
    if (manifest["model"], manifest["version"]) != (model, number):
        raise RegistryError(f"{uri}: its manifest describes {manifest['model']} version {manifest['version']}")
    return Version(model, number, uri, manifest, digests.of_bytes(data))


def tombstone(model: str, number: int) -> bytes:
    """The manifest of a number that is no longer a version, or never will be one."""
    return artifacts.encode("removed", {"model": model, "version": number, "files": {}})


def load(root: str, model: str, number: int) -> Version | None:
    """The finished version of a number; None where there is none. Raises as `find` does."""
    found = find(root, model, number)
    return found if isinstance(found, Version) else None


def versions(root: str, model: str) -> list[Version]:
    """The finished versions in ascending order, without numbers whose publisher died.

    Raises:
        RegistryError: the model's name or a manifest is malformed.
    """
    found = in_parallel(lambda number: load(root, model, number), numbers(root, model, "claims"))
    return [version for version in found if version is not None]


def numbers(root: str, model: str, kind: str) -> list[int]:
    """The numbers that have an object below `kind`, in ascending order."""
    uri = address(root, model, kind)
    names = (item.uri.removeprefix(f"{uri}/") for item in storage.list_files(uri))
    return sorted(int(match[1]) for match in map(_NUMBERED.fullmatch, names) if match)


def download(version: Version, into: Path, *, copy: bool = False) -> Path:
    """The version's directory on this machine, every file checked against the manifest.

    A registry in a local directory is read where it is, unless `copy` is true; from a bucket, or as a copy, the files
    land below `into`.

    Raises:
        RegistryError: a file is missing, differs in size or digest, or its path leads out of the directory.
        StorageError: the registry cannot be read.
    """
    files = version.manifest["files"]
    fetched = in_parallel(lambda name: _fetch(version, name, into, copy), files)
    for relative, path in progress(zip(files, fetched, strict=True), total=len(files), unit="files"):
        received = {"sha256": digests.of_file(path), "size": path.stat().st_size} if path.is_file() else "a directory"
        if received != files[relative]:
            raise RegistryError(f"{version.uri}/{relative}: received {received}; its manifest says {files[relative]}")
        into = path.parents[len(PurePosixPath(relative).parts) - 1]
    return into


def _fetch(version: Version, relative: str, into: Path, copy: bool) -> Path:
    try:
        uri = storage.join(version.uri, relative)
    except StorageError as error:
        raise RegistryError(f"{version.uri}: {error}") from error
    try:
        path = storage.localize(uri, (into / relative).parent)
    except NotFound as error:
        raise RegistryError(f"{version.uri}: {error}") from error
    return _copied(path, into / relative) if copy and path != into / relative else path


def _copied(path: Path, target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_regular(path) as file, target.open("xb") as copy:
            shutil.copyfileobj(file, copy, _PIECE)
    except OSError as error:
        raise StorageError(f"{path}: cannot be copied to {target}: {os_reason(error)}") from error
    return target


def differences(directory: Path, manifest: VersionManifest) -> list[str]:
    """What in a version's directory on this machine differs from what was published, in words.

    Args:
        directory: of the version; the manifest in it is not read, nor is a signature.
        manifest: what was published.
    """
    found = {path.relative_to(directory).as_posix(): path for path in sorted(directory.rglob("*")) if _is_entry(path)}
    found.pop(MANIFEST, None)
    if SIGNATURE_FILE in found and _is_regular(found[SIGNATURE_FILE]):
        del found[SIGNATURE_FILE]
    published = manifest["files"]
    wrong = [f"{name} is missing" for name in published if name not in found]
    wrong += [f"{name} was not published" for name in found if name not in published]
    same = {name: path for name, path in found.items() if name in published}
    return wrong + [f"{name} differs" for name, path in same.items() if not _is_as(path, published[name])]


def _is_entry(path: Path) -> bool:
    """Whether it is anything but a directory; a broken link counts."""
    return path.is_symlink() or not path.is_dir()


def _is_regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_as(path: Path, published: FileEntry) -> bool:
    return path.is_file() and published == {"sha256": digests.of_file(path), "size": path.stat().st_size}


def require_intact(version: Version) -> None:
    """Check every stored file of a version against its manifest.

    Raises:
        RegistryError: one is missing, or is not what was published.
        StorageError: the registry cannot be read.
    """

    def wrong(name: str) -> str | None:
        uri = storage.join(version.uri, name)
        stored = storage.stat(uri)
        if stored is None:
            return f"{name} is missing"
        same = checksum(uri, stored.size) == version.manifest["files"][name]
        return None if same else f"{name} is not what was published"

    for found in in_parallel(wrong, version.manifest["files"]):
        if found is not None:
            raise RegistryError(f"{version.uri}: {found}; it cannot become the champion")


def read_document(version: Version, document: Document[J]) -> J:
    """One of the JSON files that were published with a version, checked against its manifest.

    Raises:
        RegistryError: it was not published, is missing, or is not what was published.
    """
    expected = version.manifest["files"].get(document.file)
    uri = storage.join(version.uri, document.file)
    if expected is None:
        raise RegistryError(f"{version.uri}: was published without {document.file}")
    try:
        data = storage.read_bytes(uri)
    except NotFound as error:
        raise RegistryError(f"{version.uri}: {error}") from error
    if digests.of_bytes(data) != expected["sha256"]:
        raise RegistryError(f"{uri}: received {digests.of_bytes(data)}; its manifest says {expected['sha256']}")
    return cast(J, seals.decode(data, uri, document.kind))


def checksum(uri: str, size: int) -> FileEntry:
    """SHA-256 and size of a stored object, read in pieces, in the form of a manifest's entry."""
    return {"sha256": storage.sha256(uri, size), "size": size}


def read_object(uri: str) -> tuple[bytes, str] | None:
    """The content of an object that may be replaced at any time, and the generation of exactly that content."""
    before = storage.stat(uri)
    while before is not None:
        try:
            data = storage.read_bytes(uri)
        except NotFound:
            return None
        after = storage.stat(uri)
        if after == before:
            return data, before.generation
        before = after
    return None


def in_parallel(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results in the order of the items, computed by a few threads; the first error is raised."""
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(function, items)
