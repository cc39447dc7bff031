"""The chain: everything that happened to the champion of a model, in the order of time, for people."""

from __future__ import annotations

from frostline.documents.chain import ChainRow, Measurement, Opposed, Rate
from frostline.registry import reference
from frostline.registry.attempt_records import attempts
from frostline.registry.objects import Against, Attempt, Promotion
from frostline.registry.promotions import history
from frostline.registry.version import load


def chain(root: str, model: str) -> list[ChainRow]:
    """Every promotion, rollback, evaluation that led to none, and pinned reference, the first one first.

    Raises:
        RegistryError: the model's name or an object is malformed.
    """
    known = attempts(root, model)
    by_name = {one.attempt: one for one in known}
    entries = history(root, model)
    rows = [_promoted(root, one, by_name.get(one.attempt or "")) for one in entries]
    decided = {one.attempt for one in entries}
    rows += [_attempted(one) for one in known if one.attempt not in decided]
    for pin in reference.pins(root, model):
        row = _row(pin.pinned_at, "pinned" if pin.version else "unpinned", pin.version, pin.reason)
        rows.append({**row, "approver": pin.approver})
    return sorted(rows, key=lambda row: row["at"])


def _promoted(root: str, entry: Promotion, decided: Attempt | None) -> ChainRow:
    kind = "rolled back" if entry.kind == "rollback" else "promoted"
    row = _row(entry.promoted_at, kind, entry.version, entry.reason)
    row["approver"] = entry.approver
    if decided is not None:
        return {**row, **_measured(decided)}
    if entry.kind != "rollback":  # made before attempts: the manifest has the accuracy
        version = load(root, entry.model, entry.version)
        accuracy = None if version is None else version.manifest["metadata"].get("accuracy")
        if accuracy:
            row["accuracy"] = {"value": accuracy["value"], "low": accuracy["low"], "high": accuracy["high"]}
    return row


def _attempted(one: Attempt) -> ChainRow:
    kind = {None: "not decided", "pushed": "champion already"}.get(one.outcome, one.outcome or "")
    return {**_row(one.evaluated_at, kind, one.version, one.reason), **_measured(one)}


def _row(at: str, kind: str, version: int | None, reason: str) -> ChainRow:
    return {
        "at": at,
        "kind": kind,
        "version": version,
        "images": None,
        "accuracy": None,
        "champion": None,
        "reference": None,
        "approver": None,
        "reason": reason,
    }


def _measured(one: Attempt) -> Measurement:
    rate: Rate = {"value": one.accuracy.value, "low": one.accuracy.low, "high": one.accuracy.high}
    return {
        "images": one.images,
        "accuracy": rate,
        "champion": _opposed(one.champion),
        "reference": _opposed(one.reference),
    }


def _opposed(one: Against | None) -> Opposed | None:
    return None if one is None else {"version": one.version, "gain": one.gain}
