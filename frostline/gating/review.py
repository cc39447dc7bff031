"""The decision as a short review in Markdown: what it is, what decided, what would change it, every check, notes."""

from __future__ import annotations

from collections.abc import Sequence

from frostline.artifacts import Json
from frostline.gating.result import NO_LIMIT, UNUSABLE, one_line

_HEADLINES = {
    "promote": "Promote: the model may replace the one that serves",
    "hold": "Hold: the model that serves stays",
    "inconclusive": "Inconclusive: the model that serves stays",
}
_REMEDIES = {
    "freeze": "training again, and finding what moved the frozen weights",
    "data": "mending the data",
    "leakage": "weights that never saw the test images; a larger data.test_fraction moves images into test",
    "skew": "making the training and the serving input path agree",
    "accuracy": "a model that is right more often",
    "classes": "a model that finds these classes more often, or more images of them",
    "slices_floor": "a model that is right more often on these slices",
    "champion": "a model that can be compared with the champion and holds its own",
    "slices": "a model that gives up less on these slices",
    "calibration": "a model that is less sure of its mistakes",
    "latency": "a smaller backbone or image size",
    "size": "a smaller backbone",
    "published": "the files as they were published",
    "registry": "comparing it with the version that serves now",
}


def markdown(decision: Json) -> str:
    """What decision.md says.

    Args:
        decision: decision.json, whose text may be hostile: all of it is escaped.
    """
    headline = _HEADLINES[decision["verdict"]]
    if decision["verdict"] == "promote" and decision["approval"] == "required":
        headline = "Promote, once a person approves: the model may then replace the one that serves"
    lines = [
        f"# {headline}",
        "",
        _what_decided(decision),
        "",
        f"**What would change the answer.** {_what_would_change(decision)}",
        "",
        "| check | verdict | value | limit | why |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {check['name']} | {check['verdict']} | {_number(check['value'])} | {_number(check['limit'])} "
        f"| {_escaped(check['reason'])} |"
        for check in decision["checks"]
    ]
    if decision["notes"]:
        lines += ["", "**Notes**", "", *(f"- {_sentence(note)}" for note in decision["notes"])]
    return "\n".join([*lines, "", f"Model: {_escaped(decision['model_digest'] or 'unknown')}", ""])


def _what_decided(decision: Json) -> str:
    checks = decision["checks"]
    failed, unsure = _of(checks, "fail"), _of(checks, "inconclusive")
    if failed:
        lead = f"{len(failed)} of {len(checks)} checks {_verb(failed, 'speaks', 'speak')} against it: {_names(failed)}."
        return " ".join([lead, *(_sentence(check["reason"]) for check in failed)])
    if unsure:
        lead = (
            f"No check speaks against it, but {len(unsure)} of {len(checks)} cannot be settled on these test images: "
            f"{_names(unsure)}."
        )
        return " ".join([lead, *(_sentence(check["reason"]) for check in unsure)])
    told = [check for check in checks if check["name"] in ("accuracy", "champion")]
    return " ".join([f"All {len(checks)} checks passed.", *(_sentence(check["reason"]) for check in told)])


def _what_would_change(decision: Json) -> str:
    checks = decision["checks"]
    failed, unsure = _of(checks, "fail"), _of(checks, "inconclusive")
    if failed:
        ways = dict.fromkeys(
            "evidence that can be read and agrees with itself"
            if check["reason"].startswith(UNUSABLE)
            else _REMEDIES[check["name"]]
            for check in failed
        )
        return _sentence("; ".join(ways))
    if decision["examples_needed"] is not None:
        return (
            f"About {decision['examples_needed']:,} test images in all would settle it, with a chance of 4 in 5, "
            "if the rates stay as seen."
        )
    if unsure:
        return "At the rates seen more test images would not; a better model would, or a lower limit, if it is one."
    off = [check for check in checks if check["reason"] == NO_LIMIT.reason]
    return (
        "Another model becoming the champion before this one is pushed: it was compared with the one of its evaluation."
        + (f" No limit is set for {_names(off)}." if off else "")
    )


def _of(checks: Sequence[Json], verdict: str) -> list[Json]:
    return [check for check in checks if check["verdict"] == verdict]


def _names(checks: Sequence[Json]) -> str:
    return ", ".join(check["name"] for check in checks)


def _verb(checks: Sequence[Json], one: str, many: str) -> str:
    return one if len(checks) == 1 else many


def _sentence(text: str) -> str:
    escaped = _escaped(text)
    return f"{escaped[:1].upper()}{escaped[1:]}."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _escaped(text: str) -> str:
    """Text that stays inside its cell and is no markup, whatever a file of evidence said."""
    for plain, escaped in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("`", "\\`"), ("[", "\\["), ("!", "\\!")):
        text = text.replace(plain, escaped)
    return one_line(text)
