"""The decision as a short review in Markdown: the verdict, its reasons, what would change it, every check, notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frostline.documents.release import CheckRow, Decision, SliceRow
from frostline.gating.result import NO_LIMIT, UNCOMPARABLE, UNUSABLE, points
from frostline.text import markdown

_HEADLINES = {
    "promote": "Promote: this model can replace the one in production",
    "hold": "Hold: the model in production stays",
    "inconclusive": "Inconclusive: the model in production stays",
}
_WAITING = "Promote, once a person approves: this model can then replace the one in production"
_REMEDIES = {
    "consistency": "evaluating again",
    "freeze": "training again, after finding out what changed the frozen weights",
    "data": "fixing the data",
    "leakage": "weights that were not trained on the test images; a larger data.test_fraction moves images into test",
    "skew": "making the training and the serving input path agree",
    "accuracy": "a more accurate model",
    "classes": "a model with a higher recall on these classes, or more images of them",
    "slices_floor": "a model that is more accurate on these slices",
    "champion": "a model that does better against the champion",
    "drift": "a model that does better against the reference",
    "slices": "a model that loses less accuracy on these slices",
    "calibration": "a better calibrated model",
    "latency": "a smaller backbone or image size",
    "size": "fewer parameters",
    UNCOMPARABLE["champion"]: "a model that has all labels of the champion, or another model_name",
    UNCOMPARABLE["reference"]: "another reference, named by `frostline registry pin`",
    "configuration": "passing the gate's configuration with --config",
    "published": "restoring the files as they were published",
    "registry": "comparing this version with the one in production",
}


def as_markdown(decision: Decision) -> str:
    """The text of decision.md.

    Args:
        decision: decision.json; its text may be hostile, so all of it is escaped.
    """
    waiting = decision["verdict"] == "promote" and decision["approval"] == "required"
    lines = [
        f"# {_WAITING if waiting else _HEADLINES[decision['verdict']]}",
        "",
        _reasons_of(decision),
        "",
        f"**What would change this decision.** {_changes(decision)}",
        "",
        "| check | verdict | value | limit | reason |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {check['name']} | {check['verdict']} | {_number(check['value'])} | {_number(check['limit'])} "
        f"| {markdown(check['reason'])} |"
        for check in decision["checks"]
    ]
    lines += _slices(decision.get("slices", []))
    if decision["notes"]:
        lines += ["", "**Notes**", "", *(f"- {_sentence(note)}" for note in decision["notes"])]
    return "\n".join([*lines, "", f"Model: {markdown(decision['model_digest'] or 'unknown')}", ""])


def _slices(rows: Sequence[SliceRow]) -> list[str]:
    """Every slice with the smallest loss that its check could have shown."""
    if not rows:
        return []
    lines = [
        "",
        "**Slices**, with the smallest loss that the check could have shown if the model gained no image",
        "",
        "| against | column | value | images | difference | smallest loss | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        smallest = "too small for any" if row["smallest"] is None else f"{100 * row['smallest']:.1f} points"
        lines.append(
            f"| {row['against']} | {markdown(row['column'])} | {markdown(row['value'])} | {row['examples']:,} "
            f"| {points(row['gain'])} | {smallest} | {row['verdict']} |"
        )
    return lines


def _reasons_of(decision: Decision) -> str:
    """How many checks led to the verdict, which ones, and their reasons."""
    checks = decision["checks"]
    failed, unsure = _with_verdict(checks, "fail"), _with_verdict(checks, "inconclusive")
    if failed:
        return " ".join([f"{len(failed)} of {len(checks)} checks failed: {_names(failed)}.", *_reasons(failed)])
    if unsure:
        lead = (
            f"No check failed, but {len(unsure)} of {len(checks)} cannot be decided with these test images: "
            f"{_names(unsure)}."
        )
        return " ".join([lead, *_reasons(unsure)])
    shown = [
        check for check in checks if check["name"] in ("accuracy", "champion") and check["reason"] != NO_LIMIT.reason
    ]
    return " ".join([f"All {len(checks)} checks passed.", *_reasons(shown)])


def _reasons(checks: Sequence[CheckRow]) -> list[str]:
    """Each reason once: one missing file can make many checks fail."""
    return [_sentence(reason) for reason in dict.fromkeys(check["reason"] for check in checks)]


def _changes(decision: Decision) -> str:
    """What would lead to another verdict."""
    checks = decision["checks"]
    failed, unsure = _with_verdict(checks, "fail"), _with_verdict(checks, "inconclusive")
    if failed:
        return _sentence("; ".join(dict.fromkeys(_remedy(check) for check in failed)))
    if decision["examples_needed"] is not None:
        return (
            f"About {decision['examples_needed']:,} test images in total are needed to decide, with a power of 80 %, "
            "if the rates stay the same."
        )
    if unsure:
        ways = ["a better model", *(_relaxation(check["name"], decision["config"]) for check in unsure)]
        return f"{_sentence(', or '.join(dict.fromkeys(ways)))} At the observed rates, more test images would not help."
    disabled = [check for check in checks if check["reason"] == NO_LIMIT.reason]
    return (
        "If another model becomes the champion before this one is pushed, this one must be compared with it first."
        + (f" No limit is set for {_names(disabled)}." if disabled else "")
    )


def _remedy(check: CheckRow) -> str:
    if check["reason"].startswith(UNUSABLE):
        return "evidence that can be read, is consistent and has the configured confidence level"
    uncomparable = [start for start in UNCOMPARABLE.values() if check["reason"].startswith(start)]
    return _REMEDIES[uncomparable[0] if uncomparable else check["name"]]


def _relaxation(name: str, config: dict[str, Any]) -> str:
    """A change of the configuration that would decide an inconclusive check."""
    if name == "drift":
        return "a wider drift_margin"
    if name == "champion":
        return "a wider margin" if config["comparison"] == "non_inferiority" else "non_inferiority, if that is enough"
    return "a higher limit" if name == "calibration" else "a lower floor"


def _with_verdict(checks: Sequence[CheckRow], verdict: str) -> list[CheckRow]:
    return [check for check in checks if check["verdict"] == verdict]


def _names(checks: Sequence[CheckRow]) -> str:
    return ", ".join(check["name"] for check in checks)


def _sentence(text: str) -> str:
    escaped = markdown(text)
    return f"{escaped[:1].upper()}{escaped[1:]}."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
