"""What verify asks of a published version beyond its certificate: every byte that was published, and no other file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from frostline import artifacts, digests, registry, storage
from frostline.artifacts import Json
from frostline.documents.release import VersionManifest
from frostline.registry.publication import read_claim
from frostline.text import listed
from frostline.verification.certificate_checks import Failed

_PLACE = re.compile(r"(?P<root>.+)/(?P<model>[^/]+)/versions/(?P<number>[1-9][0-9]{0,8})/?")


def manifest_holds(directory: Path) -> Json:
    """The manifest is as it was written, and so is every file that it names; there is no other."""
    try:
        data = (directory / registry.MANIFEST).read_bytes()
    except FileNotFoundError:
        raise Failed(f"{registry.MANIFEST} is missing") from None
    manifest = artifacts.parse_json(data, registry.MANIFEST)
    if manifest.get("schema") == artifacts.schema("removed"):
        raise Failed("the version was removed")
    if manifest.get("schema") != artifacts.schema("version") or artifacts.encode("version", manifest) != data:
        raise Failed(f"{registry.MANIFEST} is not as it was written")
    published = {name: manifest[name] for name in ("identity", "files", "metadata")}
    if digests.of_json(published) != manifest["content"]:
        raise Failed(f"{registry.MANIFEST} is not sealed by its own content")
    wrong = registry.differences(directory, cast(VersionManifest, manifest))
    if wrong:
        raise Failed(listed(wrong, separator="; "))
    return manifest


def place(uri: str) -> tuple[str, str, int] | None:
    """Root, model and number, where an address is that of a version in a registry."""
    match = _PLACE.fullmatch(uri if uri.startswith("gs://") else str(Path(uri).resolve()))
    if match is None:
        return None
    found = match["root"], match["model"], int(match["number"])
    return found if storage.stat(storage.join(found[0], found[1], "claims", f"{found[2]}.json")) else None


def registry_agrees(where: tuple[str, str, int], directory: Path, manifest: Json) -> bool:
    """Whoever took the number wanted to publish this, and this is what was proven and promoted."""
    root, model, number = where
    if (manifest["model"], manifest["version"]) != (model, number):
        raise Failed(f"the manifest is of {manifest['model']} version {manifest['version']}")
    if read_claim(root, model, number).content != manifest["content"]:
        raise Failed("the number was claimed for another content")
    digest = digests.of_file(directory / registry.MANIFEST)
    proven = registry.standing(root, model, number)
    if proven is not None and proven.manifest_digest != digest:
        raise Failed(f"another manifest was {proven.standing} under this number")
    if any(one.version == number and one.manifest_digest != digest for one in registry.history(root, model)):
        raise Failed("another manifest was promoted under this number")
    return True


def may_serve(where: tuple[str, str, int], directory: Path) -> str:
    """In words, why a version may replace the one that serves: it does so already, or was compared with it."""
    root, model, number = where
    state, serving = registry.states(root, model).get(number), registry.champion(root, model)
    if state == "champion":
        return "it is the version that serves"
    if state == "candidate":
        # A model that was made again is the version that there is, with the evidence of the first time.
        compared = artifacts.read_json(directory / "evaluation.json", "evaluation")["champion"]
        if (compared and compared["promotion"]) != (serving and serving.promotion):
            raise Failed("the evaluation in it compared it with another champion; ask about the run that made it again")
        return "it was compared with the version that serves" if serving else "no version serves yet"
    now = f"; version {serving.version} serves now" if serving else ""
    if state in ("superseded", "earlier champion"):
        raise Failed(f"it was compared with another champion than that of now{now}")
    raise Failed(f"it is {state or 'no version any more'} in the registry{now}")
