"""The decision as a short review in Markdown: what it is, what decided, what would change it, every check, notes."""

from __future__ import annotations

from collections.abc import Sequence

from frostline.artifacts import Json
from frostline.gating.result import NO_LIMIT, UNCOMPARABLE, UNUSABLE
from frostline.text import markdown

_HEADLINES = {
    "promote": "Promote: the model may replace the one that serves",
    "hold": "Hold: the model that serves stays",
    "inconclusive": "Inconclusive: the model that serves stays",
}
_REMEDIES = {
    "evidence": "evaluating again",
    "freeze": "training again, and finding what moved the frozen weights",
    "data": "mending the data",
    "leakage": "weights that never saw the test images; a larger data.test_fraction moves images into test",
    "skew": "making the training and the serving input path agree",
    "accuracy": "a model that is right more often",
    "classes": "a model that finds these classes more often, or more images of them",
    "slices_floor": "a model that is right more often on these slices",
    "champion": "a model that holds its own against the champion",
    "slices": "a model that gives up less on these slices",
    "calibration": "a better calibrated model",
    "latency": "a smaller backbone or image size",
    "size": "fewer parameters",
    UNCOMPARABLE: "a model that knows the labels of the champion, or another model_name",
    "configuration": "the configuration of the gate, by --config",
    "published": "the files as they were published",
    "registry": "comparing it with the version that serves now",
}


def as_markdown(decision: Json) -> str:
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
        f"| {markdown(check['reason'])} |"
        for check in decision["checks"]
    ]
    if decision["notes"]:
        lines += ["", "**Notes**", "", *(f"- {_sentence(note)}" for note in decision["notes"])]
    return "\n".join([*lines, "", f"Model: {markdown(decision['model_digest'] or 'unknown')}", ""])


def _what_decided(decision: Json) -> str:
    checks = decision["checks"]
    failed, unsure = _of(checks, "fail"), _of(checks, "inconclusive")
    if failed:
        lead = f"{len(failed)} of {len(checks)} checks {_verb(failed, 'speaks', 'speak')} against it: {_names(failed)}."
        return " ".join([lead, *_reasons(failed)])
    if unsure:
        lead = (
            f"No check speaks against it, but {len(unsure)} of {len(checks)} cannot be settled on these test images: "
            f"{_names(unsure)}."
        )
        return " ".join([lead, *_reasons(unsure)])
    told = [
        check for check in checks if check["name"] in ("accuracy", "champion") and check["reason"] != NO_LIMIT.reason
    ]
    return " ".join([f"All {len(checks)} checks passed.", *_reasons(told)])


def _reasons(checks: Sequence[Json]) -> list[str]:
    """Each reason once: what one file lacks may stop many checks."""
    return [_sentence(reason) for reason in dict.fromkeys(check["reason"] for check in checks)]


def _what_would_change(decision: Json) -> str:
    checks = decision["checks"]
    failed, unsure = _of(checks, "fail"), _of(checks, "inconclusive")
    if failed:
        return _sentence("; ".join(dict.fromkeys(_remedy(check) for check in failed)))
    if decision["examples_needed"] is not None:
        return (
            f"About {decision['examples_needed']:,} test images in all would settle it, with a chance of 4 in 5, "
            "if the rates stay as seen."
        )
    if unsure:
        ways = ["a better model", *(_wider(check["name"], decision["config"]) for check in unsure)]
        return f"At the rates seen more test images would not. {_sentence(', or '.join(dict.fromkeys(ways)))}"
    off = [check for check in checks if check["reason"] == NO_LIMIT.reason]
    return (
        "Another model becoming the champion before this one is pushed: it was compared with the one of its evaluation."
        + (f" No limit is set for {_names(off)}." if off else "")
    )


def _remedy(check: Json) -> str:
    if check["reason"].startswith(UNUSABLE):
        return "evidence that can be read, agrees with itself and is of the confidence that is asked for"
    return _REMEDIES[UNCOMPARABLE if check["reason"].startswith(UNCOMPARABLE) else check["name"]]


def _wider(name: str, config: Json) -> str:
    """What of the configuration would settle an inconclusive check."""
    if name == "champion":
        return "a wider margin" if config["comparison"] == "non_inferiority" else "non_inferiority, if that is enough"
    return "a higher limit" if name == "calibration" else "a lower floor"


def _of(checks: Sequence[Json], verdict: str) -> list[Json]:
    return [check for check in checks if check["verdict"] == verdict]


def _names(checks: Sequence[Json]) -> str:
    return ", ".join(check["name"] for check in checks)


def _verb(checks: Sequence[Json], one: str, many: str) -> str:
    return one if len(checks) == 1 else many


def _sentence(text: str) -> str:
    escaped = markdown(text)
    return f"{escaped[:1].upper()}{escaped[1:]}."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
