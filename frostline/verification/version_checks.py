"""The checks of a published version besides its certificate: every published byte, no other file, and the registry."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from frostline import artifacts, digests, registry, storage
from frostline.documents.evaluation import EVALUATION
from frostline.documents.release import MANIFEST_FILE, VersionManifest
from frostline.errors import NotFound, NotSigned
from frostline.registry import signatures
from frostline.registry.publication import read_claim
from frostline.text import listed
from frostline.verification.certificate_checks import Failed

Place = tuple[str, str, int]  # a version in a registry: root, model, number
_PLACE = re.compile(r"(?P<root>.+)/(?P<model>[^/]+)/versions/(?P<number>[1-9][0-9]{0,8})/?")


def manifest_holds(directory: Path) -> VersionManifest:
    """The manifest is unchanged, every file in it is there and unchanged, and there is no other file."""
    try:
        data = storage.read_bytes(str(directory / MANIFEST_FILE))
    except NotFound:
        raise Failed(f"{MANIFEST_FILE} is missing") from None
    manifest = cast(VersionManifest, artifacts.parse_json(data, MANIFEST_FILE))
    if manifest.get("schema") == artifacts.schema("removed"):
        raise Failed("the version was removed")
    if manifest.get("schema") != artifacts.schema("version") or artifacts.encode("version", manifest) != data:
        raise Failed(f"{MANIFEST_FILE}: the file was changed after it was written")
    published = {"identity": manifest["identity"], "files": manifest["files"], "metadata": manifest["metadata"]}
    if digests.of_json(published) != manifest["content"]:
        raise Failed(f"{MANIFEST_FILE}: its digest does not match its content")
    wrong = registry.differences(directory, manifest)
    if wrong:
        raise Failed(listed(wrong, separator="; "))
    return manifest


def place(uri: str) -> Place | None:
    """Root, model and number if an address is that of a version in a registry."""
    match = _PLACE.fullmatch(uri if uri.startswith("gs://") else str(Path(uri).resolve()))
    if match is None:
        return None
    root, model, number = match["root"], match["model"], int(match["number"])
    return (root, model, number) if storage.stat(storage.join(root, model, "claims", f"{number}.json")) else None


def registry_agrees(where: Place, directory: Path, manifest: VersionManifest) -> None:
    """The manifest is the one that its number was claimed for, and the one that was proven and promoted."""
    root, model, number = where
    if (manifest["model"], manifest["version"]) != (model, number):
        raise Failed(f"the manifest is that of {manifest['model']} version {manifest['version']}")
    if read_claim(root, model, number).content != manifest["content"]:
        raise Failed("the number was claimed for another content")
    digest = digests.of_file(directory / MANIFEST_FILE)
    standing = registry.standing(root, model, number)
    if standing is not None and standing.manifest_digest != digest:
        raise Failed(f"another manifest was {standing.standing} under this number")
    if any(one.version == number and one.manifest_digest != digest for one in registry.history(root, model)):
        raise Failed("another manifest was promoted under this number")


def signature_holds(directory: Path, manifest: VersionManifest, public_key: bytes | None) -> None:
    """The signature is one of exactly these files with this key; without a key nothing is checked."""
    if public_key is None:
        return
    files = signatures.signed_files(manifest, digests.of_file(directory / MANIFEST_FILE))
    try:
        signatures.require_signature(str(directory), directory, files, public_key)
    except NotSigned as error:
        raise Failed(str(error).removeprefix(f"{directory}/").removeprefix(f"{directory}: ")) from None


def signature_words(directory: Path, public_key: bytes | None) -> str:
    """What it means that `signature_holds`, in words."""
    if public_key is not None:
        return "it is of all published files and the manifest, and verifies with the public key"
    if signatures.is_signed(str(directory)):
        return "not checked: the version is signed; give --public-key"
    return "not checked: the version is unsigned"


def may_serve(where: Place, directory: Path) -> str:
    """Why a version may be in production, in words: it is the champion, or was compared with the champion.

    Raises:
        Failed: it was compared with another champion, or is not a candidate.
    """
    root, model, number = where
    state, champion = registry.states(root, model).get(number), registry.champion(root, model)
    if state == "champion":
        return "it is the champion"
    if state == "candidate":
        # When a model is published again, the existing version stays, with the evaluation of the first time.
        compared = EVALUATION.read(directory)["champion"]
        if (compared and compared["promotion"]) != (champion and champion.promotion):
            raise Failed("its evaluation compared it with another champion; check the run that published it again")
        return "it was compared with the champion" if champion else "there is no champion yet"
    now = f"; the champion is version {champion.version}" if champion else ""
    if state in ("superseded", "earlier champion"):
        raise Failed(f"it was not compared with the current champion{now}")
    raise Failed(f"in the registry it is {state or 'no longer a version'}{now}")
