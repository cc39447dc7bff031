"""The checks of a published version beyond its certificate: every published byte, and what the registry says."""

from __future__ import annotations

import re
from pathlib import Path

from frostline import artifacts, digests, registry, storage
from frostline.documents.evaluation import EVALUATION
from frostline.documents.release import MANIFEST_FILE, VERSION_MANIFEST, VersionManifest
from frostline.registry.publication import read_claim
from frostline.text import listed
from frostline.verification.certificate_checks import Failed

_PLACE = re.compile(r"(?P<root>.+)/(?P<model>[^/]+)/versions/(?P<number>[1-9][0-9]{0,8})/?")


def manifest_holds(directory: Path) -> VersionManifest:
    """The manifest is as it was written, and so is every file that it lists; there is no other file."""
    try:
        data = (directory / MANIFEST_FILE).read_bytes()
    except FileNotFoundError:
        raise Failed(f"{MANIFEST_FILE} is missing") from None
    schema = artifacts.parse_json(data, MANIFEST_FILE).get("schema")
    if schema == artifacts.schema("removed"):
        raise Failed("the version was removed")
    if schema != artifacts.schema(VERSION_MANIFEST.kind):
        raise Failed(f"{MANIFEST_FILE} is not as it was written")
    manifest = VERSION_MANIFEST.read(directory)
    if VERSION_MANIFEST.encode(manifest) != data:
        raise Failed(f"{MANIFEST_FILE} is not as it was written")
    published = {key: manifest[key] for key in ("identity", "files", "metadata")}
    if digests.of_json(published) != manifest["content"]:
        raise Failed(f"{MANIFEST_FILE}: its content is not what its digest says")
    wrong = registry.differences(directory, manifest)
    if wrong:
        raise Failed(listed(wrong, separator="; "))
    return manifest


def place(uri: str) -> tuple[str, str, int] | None:
    """Root, model and number, if the address is that of a version in a registry."""
    match = _PLACE.fullmatch(uri if uri.startswith("gs://") else str(Path(uri).resolve()))
    if match is None:
        return None
    found = match["root"], match["model"], int(match["number"])
    return found if storage.stat(storage.join(found[0], found[1], "claims", f"{found[2]}.json")) else None


def registry_agrees(where: tuple[str, str, int], directory: Path, manifest: VersionManifest) -> None:
    """The content is what the publisher of this number claimed, and the manifest is the one proven and promoted."""
    root, model, number = where
    if (manifest["model"], manifest["version"]) != (model, number):
        raise Failed(f"the manifest is of {manifest['model']} version {manifest['version']}")
    if read_claim(root, model, number).content != manifest["content"]:
        raise Failed("the number was claimed for another content")
    digest = digests.of_file(directory / MANIFEST_FILE)
    proven = registry.standing(root, model, number)
    if proven is not None and proven.manifest_digest != digest:
        raise Failed(f"another manifest was {proven.standing} under this number")
    if any(one.version == number and one.manifest_digest != digest for one in registry.history(root, model)):
        raise Failed("another manifest was promoted under this number")


def may_serve(where: tuple[str, str, int], directory: Path) -> str:
    """Why a version may replace the one in production, in words: it is that one, or was compared with it."""
    root, model, number = where
    state, serving = registry.states(root, model).get(number), registry.champion(root, model)
    if state == "champion":
        return "it is the version in production"
    if state == "candidate":
        # If the same model is made again, the version stays the first one, with the evaluation of the first run.
        compared = EVALUATION.read(directory)["champion"]
        if (compared and compared["promotion"]) != (serving and serving.promotion):
            raise Failed(
                "its evaluation compared it with another champion; if a later run made the same model, check that run"
            )
        return "it was compared with the version in production" if serving else "no version is in production yet"
    now = f"; version {serving.version} is in production now" if serving else ""
    if state in ("superseded", "earlier champion"):
        raise Failed(f"it was compared with a champion that is not in production any more{now}")
    raise Failed(f"it is {state or 'no version any more'} in the registry{now}")
