"""The model registry: immutable versions, and an alias that names the champion, the version in production.

    <root>/<model>/claims/<N>.json          who took the number, by exclusive create; never removed, never reused
    <root>/<model>/versions/<N>/            a TF Serving model directory; a version once manifest.json is there;
                                            model.sig beside it is the version's signature
    <root>/<model>/standings/<N>.json       proven, rejected or removed; changes only by compare-and-swap
    <root>/<model>/aliases/champion.json    the champion; changes only by compare-and-swap
    <root>/<model>/promotions/<id>.json     one object per change of the alias
    <root>/<model>/attempts/<id>.json       one object per evaluation, what became of it, and the images it used
    <root>/<model>/predictions/<id>.parquet what a published model predicted in its evaluation
    <root>/<model>/pins/<id>.json           what people said about the reference; the last one holds

Claims are outside `versions/` because TF Serving loads the highest number there as soon as its directory exists.
For the same reason `saved_model.pb` is the last file before the manifest.

Imports the ground, `storage` and `documents`.
"""

from __future__ import annotations

import re

from frostline.errors import RegistryError
from frostline.registry.approvals import approve, candidate, previous_champion, rollback, states
from frostline.registry.attempt_records import attempts, begin, conclude, looks, predictions, store_predictions
from frostline.registry.objects import Against, Alias, Attempt, Pin, Promotion
from frostline.registry.promotions import (
    champion,
    history,
    nominate,
    promote,
    promotions_decided_on,
    record,
    reject,
)
from frostline.registry.publication import is_copy, publish
from frostline.registry.reference import Reference, pin, references, require_same
from frostline.registry.retention import Removal, prune
from frostline.registry.signatures import download_signed, is_signed, require_signed, sign
from frostline.registry.standings import PROVEN, standing
from frostline.registry.timeline import chain
from frostline.registry.version import MANIFEST, Version, differences, download, load, versions

__all__ = [
    "MANIFEST",
    "Against",
    "Alias",
    "Attempt",
    "Pin",
    "Promotion",
    "Reference",
    "Removal",
    "Version",
    "approve",
    "attempts",
    "begin",
    "candidate",
    "chain",
    "champion",
    "conclude",
    "differences",
    "download",
    "download_signed",
    "history",
    "is_copy",
    "is_signed",
    "load",
    "look_up",
    "looks",
    "nominate",
    "pin",
    "predictions",
    "previous_champion",
    "promote",
    "promotions_decided_on",
    "prune",
    "publish",
    "record",
    "references",
    "reject",
    "require_same",
    "require_signed",
    "rollback",
    "sign",
    "standing",
    "states",
    "store_predictions",
    "versions",
]
_REFERENCE = re.compile(r"registry:(?P<model>[^@/]+)(?:@champion|/(?P<number>[1-9][0-9]{0,8}))?")


def look_up(root: str, reference: str) -> Version:
    """The version that a reference names: `registry:NAME@champion`, `registry:NAME` (the same) or `registry:NAME/N`.

    Raises:
        RegistryError: the reference is malformed, or the version does not exist or was rejected.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise RegistryError(f"received {reference!r}; expected registry:MODEL@champion or registry:MODEL/NUMBER")
    model, number = match["model"], match["number"]
    version = _champion(root, model, reference) if number is None else load(root, model, int(number))
    if version is None:
        known = [known.number for known in versions(root, model)]
        raise RegistryError(f"{reference}: {root} has no such version; it has {known or 'none of this model'}")
    found, serving = standing(root, model, version.number), champion(root, model)
    serves = serving is not None and serving.version == version.number
    if found is not None and found.standing != PROVEN and not serves:
        raise RegistryError(f"{reference}: version {version.number} in {root} was {found.standing}: {found.reason}")
    return version


def _champion(root: str, model: str, reference: str) -> Version:
    alias = champion(root, model)
    if alias is None:
        raise RegistryError(f"{reference}: {root} has no champion of {model}; push a model with that name first")
    version = load(root, model, alias.version)
    if version is None or version.manifest_digest != alias.manifest_digest:
        raise RegistryError(f"{reference}: version {alias.version} in {root} is not the one that was promoted")
    return version
