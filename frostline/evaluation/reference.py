"""The reference on the same test images as the challenger: the version that does not move with the champion."""

from __future__ import annotations

import numpy as np

from frostline import registry
from frostline.documents.evaluation import Compared, ComparedReference, Opponent, Uncompared, UncomparedReference
from frostline.errors import NotSigned, RegistryError
from frostline.evaluation import kept_predictions
from frostline.evaluation.champion import Challenger, Predict, compare_predictions, compare_with_version
from frostline.events import say
from frostline.registry import Reference, Version

_Comparison = Compared | Uncompared


def compare_with_reference(
    root: str,
    model_name: str,
    challenger: Challenger,
    predict: Predict,
    confidence: float,
    champion: Compared | Uncompared | None,
    public_key: bytes | None = None,
) -> ComparedReference | UncomparedReference | None:
    """Compare with the reference, by its model or, where its files are gone, by its kept predictions.

    If evidence chose the reference and it cannot be compared, the next later champion takes its place. A pinned one is
    not replaced.

    Args:
        root, model_name, challenger, predict, confidence, public_key: as in `champion.compare_with_champion`.
        champion: the comparison with the champion; it is not made twice if the champion is the reference.

    Returns:
        The comparison; None if there is no champion yet.

    Raises:
        NotSigned: the reference has its files, but no signature that verifies with the public key.
        RegistryError: an object of the registry is malformed.
        StorageError: the registry cannot be read.
    """
    if champion is None:
        return None
    replaced: list[str] = []
    for reference in registry.references(root, model_name):
        is_champion = (reference.version, reference.manifest_digest) == (
            champion["version"],
            champion["manifest_digest"],
        )
        if is_champion:
            found, stored = champion, False
        else:
            found, stored = _compare(root, model_name, reference, challenger, predict, confidence, public_key)
        if found["comparable"] or reference.pinned or is_champion:
            return _as_reference(found, reference, stored, "; ".join(replaced))
        replaced.append(f"version {reference.version}, an earlier reference, cannot be compared: {found['reason']}")
        say(replaced[-1])
    raise RegistryError(f"{root}: the champion of {model_name} changed during its evaluation; evaluate again")


def _as_reference(
    found: _Comparison, reference: Reference, stored: bool, replaces: str
) -> ComparedReference | UncomparedReference:
    if found["comparable"] is True:
        return {**found, "pinned": reference.pinned, "stored": stored, "replaces": replaces}
    return {**found, "pinned": reference.pinned, "stored": stored, "replaces": replaces}


def _compare(
    root: str,
    model_name: str,
    reference: Reference,
    challenger: Challenger,
    predict: Predict,
    confidence: float,
    public_key: bytes | None,
) -> tuple[_Comparison, bool]:
    """The comparison, and whether it is by kept predictions."""
    version = _usable(root, model_name, reference)
    if version is not None:
        try:
            say(f"the reference is version {reference.version}")
            return compare_with_version(
                version, reference.promotion, "reference", challenger, predict, confidence, public_key
            )[0], False  # fmt: skip
        except NotSigned:  # its kept predictions would be no better
            raise
        except RegistryError as error:  # a file is missing or damaged
            say(str(error))
    return _compare_kept(root, reference, challenger, confidence), True


def _usable(root: str, model_name: str, reference: Reference) -> Version | None:
    try:
        version = registry.look_up(root, f"registry:{model_name}/{reference.version}")
    except RegistryError:  # removed or rejected
        return None
    return version if version.manifest_digest == reference.manifest_digest else None


def _compare_kept(root: str, reference: Reference, challenger: Challenger, confidence: float) -> _Comparison:
    decided = reference.attempt
    opponent: Opponent = {
        "version": reference.version,
        "manifest_digest": reference.manifest_digest,
        "promotion": reference.promotion,
        "model_digest": "" if decided is None else decided.model_digest,
    }
    data = None if decided is None else registry.predictions(root, decided)
    if data is None:
        reason = f"the files of version {reference.version} are gone, and its predictions were not kept"
        return {**opponent, "comparable": False, "reason": reason}
    labels, predicted = kept_predictions.read(data)
    theirs = np.zeros_like(challenger.probabilities)
    index = {label: place for place, label in enumerate(challenger.labels)}
    unknown = np.array([row["sha256"] not in predicted for row in challenger.rows])
    for place, row in enumerate(challenger.rows):
        label = predicted.get(row["sha256"])
        if label in index:
            theirs[place, index[label]] = 1.0
    found = compare_predictions(opponent, "reference", labels, unknown, challenger, theirs, confidence)
    if found["comparable"] is True:
        found["made_with"] = 0  # the others are new, not known to it
        found["log_loss_difference"] = None  # there are no probabilities
    return found
