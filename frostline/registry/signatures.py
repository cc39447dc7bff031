"""Signatures of versions, by the library model-signing: who published a version, not only that it is unchanged.

A version's signature is the file `model.sig` in its directory, made with a private key over the path and the SHA-256 of
every other file there, the manifest included. So it is no signature of the same files under another number or name. The
manifest does not list it: each signature by the same key is different, and a repeated push must find its own version.
"""

from __future__ import annotations

import base64
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frostline import artifacts, storage
from frostline.documents.release import MANIFEST_FILE, SIGNATURE_FILE, VersionManifest
from frostline.errors import DataError, NotFound, NotSigned, PreconditionFailed, RegistryError
from frostline.registry import keys
from frostline.registry.version import Version, download
from frostline.text import listed, one_line

_LARGEST = 2**23  # bytes of a signature; it has about 250 for each file of the version
_LONGEST = 300  # characters of an error of the library


def signed_files(manifest: VersionManifest, manifest_digest: str) -> dict[str, str]:
    """What the signature of a version is over: the SHA-256 of every file by its path, the manifest included."""
    published = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    return {**published, MANIFEST_FILE: manifest_digest}


def files_of(version: Version) -> dict[str, str]:
    """As `signed_files`, of a version that was found in the registry."""
    return signed_files(version.manifest, version.manifest_digest)


def is_signed(uri: str) -> bool:
    """Whether there is anything that should be the signature of the version at an address; it is not read.

    Raises:
        StorageError: the registry cannot be read.
    """
    return is_odd(uri) or storage.stat(storage.join(uri, SIGNATURE_FILE)) is not None


def is_odd(uri: str) -> bool:
    """Whether a link, a directory or a device is where the signature of the version at an address should be."""
    path = Path(uri) / SIGNATURE_FILE
    return not uri.startswith("gs://") and (path.is_symlink() or (path.exists() and not path.is_file()))


def download_signed(version: Version, into: Path, public_key: bytes | None) -> Path:
    """The version's directory on this machine, to load its model from; as `download` without a public key.

    With one, the files are copied before they are checked, so nobody can change them between the check and the loading.

    Raises:
        NotSigned: as `require_signed`.
        RegistryError, StorageError: as `download`.
    """
    if public_key is None:
        return download(version, into)
    directory = download(version, into, copy=True)
    require_signed(version, directory, public_key)
    return directory


def require_signed(version: Version, directory: Path, public_key: bytes) -> None:
    """Check a version's signature.

    Args:
        version: as it was found in the registry.
        directory: with its published files, where `download` put them.
        public_key: PEM.

    Raises:
        NotSigned: there is no signature, or it is not one of this version with this key; says what to do.
        StorageError: the registry cannot be read.
    """
    try:
        require_signature(version.uri, _complete(version, directory), files_of(version), public_key)
    except NotSigned as error:
        raise NotSigned(f"{error}; if you trust this version, sign it: {command(version)}") from None


def require_signature(uri: str, directory: Path, files: Mapping[str, str], public_key: bytes) -> None:
    """Check the signature that is stored at the address of a version.

    Args:
        uri: the version's address, a directory or gs://.
        directory: with the files of the version and its manifest, on this machine.
        files: what `signed_files` says of it.
        public_key: PEM.

    Raises:
        NotSigned: there is no signature, or it is not one of these files with this key.
        StorageError: the registry cannot be read.
    """
    data = _read(uri)
    if data is None:
        raise NotSigned(f"{uri}: is not signed")
    problem = _problem(data, directory, files, public_key)
    if problem:
        raise NotSigned(f"{storage.join(uri, SIGNATURE_FILE)}: {problem}")


def sign(version: Version, directory: Path, key: str, field: str = keys.KEY) -> bool:
    """Sign a version, unless it has a valid signature with this key; another signature is replaced.

    Whoever calls this has to know that the files are those that shall be signed.

    Args:
        version: as it was found in the registry.
        directory: with its published files and no others.
        key: path of the private key.
        field: what names the key, for messages.

    Returns:
        Whether the version was signed now.

    Raises:
        ConfigError: the key cannot be used.
        RegistryError: the files are not those of the version, or another process signs it with another key.
        StorageError: the registry cannot be read or written.
    """
    public_key, uri = keys.public_half(key, field), storage.join(version.uri, SIGNATURE_FILE)
    stored = storage.stat(uri)
    try:
        require_signature(version.uri, _complete(version, directory), files_of(version), public_key)
    except NotSigned:
        pass
    else:
        return False
    data = _make(directory, key)
    problem = _problem(data, directory, files_of(version), public_key)
    if problem:
        raise RegistryError(f"{version.uri}: cannot be signed: {problem}")
    try:
        storage.write_bytes(uri, data, if_generation=storage.ABSENT if stored is None else stored.generation)
    except PreconditionFailed:  # an equal push may have signed it
        require_signature(version.uri, directory, files_of(version), public_key)
        return False
    return True


def command(version: Version) -> str:
    """What a person types to sign a version."""
    root = version.uri.removesuffix(f"/{version.model}/versions/{version.number}")
    return f"frostline registry sign {shlex.quote(root)} {version.model} {version.number} --key FILE"


def _complete(version: Version, directory: Path) -> Path:
    """The directory of published files, with the manifest; `download` does not fetch it from a bucket."""
    if not (directory / MANIFEST_FILE).exists():
        (directory / MANIFEST_FILE).write_bytes(storage.read_bytes(storage.join(version.uri, MANIFEST_FILE)))
    return directory


def _read(uri: str) -> bytes | None:
    """The bytes of a version's signature; None if there is none. NotSigned if it is no regular file, or too large."""
    place = storage.join(uri, SIGNATURE_FILE)
    if is_odd(uri):
        raise NotSigned(f"{place}: is no regular file")
    stored = storage.stat(place)
    if stored is None:
        return None
    if stored.size > _LARGEST:
        raise NotSigned(f"{place}: has {stored.size:,} bytes; a signature has at most {_LARGEST:,}")
    try:
        return storage.read_bytes(place, length=stored.size)
    except NotFound:
        return None


def _problem(data: bytes, directory: Path, files: Mapping[str, str], public_key: bytes) -> str:
    """What is wrong with a signature of the files in a directory, in words; empty if it is valid."""
    from model_signing import verifying

    try:
        signed = _signed_digests(data)
    except (DataError, LookupError, TypeError, ValueError, AttributeError):
        return "is no signature that model-signing 1.1 wrote"
    wrong = sorted(name for name in {*signed, *files} if signed.get(name) != files.get(name))
    if wrong:
        return f"is not of these files: {listed(wrong)}"
    with tempfile.TemporaryDirectory() as scratch:
        signature, key = Path(scratch) / SIGNATURE_FILE, Path(scratch) / "key.pub"
        signature.write_bytes(data)
        key.write_bytes(public_key)
        try:
            checker = verifying.Config().use_elliptic_key_verifier(public_key=key).set_hashing_config(_hashing())
            checker.set_ignore_unsigned_files(True).verify(directory, signature)
        except Exception as error:  # cryptography, pydantic and the library raise many classes
            return f"does not verify: {_reason(error)}"
    return ""


def _signed_digests(data: bytes) -> dict[str, str]:
    """What a signature says that it is of: SHA-256 by path. Nothing is checked."""
    bundle = artifacts.parse_json(data, SIGNATURE_FILE)
    if not bundle["verificationMaterial"]["publicKey"]["hint"]:  # the library would print a warning about it
        raise ValueError("names no key")
    payload = artifacts.parse_json(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True), SIGNATURE_FILE)
    resources = payload["predicate"]["resources"]
    if any(one["algorithm"] != "sha256" for one in resources):
        raise ValueError("has digests of another kind")
    return {one["name"]: one["digest"] for one in resources}


def _reason(error: Exception) -> str:
    """An error of the library in a clause; a wrong signature has no text."""
    text = one_line(error, _LONGEST)
    if text.startswith("Key mismatch"):
        return "it was made with another key"
    if text.startswith("Signature mismatch"):  # the library's text has digests as Python shows bytes
        return "a file was changed after its digest was compared with the manifest"
    return text or "it was not made with this key, or was changed"


def _make(directory: Path, key: str) -> bytes:
    """A signature of all files in a directory, a signature apart."""
    from model_signing import signing

    with tempfile.TemporaryDirectory() as scratch:
        signature = Path(scratch) / SIGNATURE_FILE
        config = signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(_hashing())
        config.sign(directory, signature)
        return signature.read_bytes()


def _hashing() -> Any:
    """Every file counts but the signature; links are refused."""
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)
