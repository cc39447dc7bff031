"""The gate stage: may this model replace the one that serves? Decided from written evidence alone, failing closed.

Evidence that is missing, unreadable, not a number or out of range is a failed check: never an exception that loses
the decision, and never a promotion.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from frostline import artifacts
from frostline.artifacts import Json
from frostline.config import GateConfig
from frostline.events import say, step
from frostline.section import parse

Evidence = Json | str  # a document, or why there is none
Outcome = Literal["pass", "fail", "inconclusive"]
_HEADLINES = {
    "promote": "Promote: the model may replace the one that serves",
    "hold": "Hold: the model that serves stays",
    "inconclusive": "Inconclusive: the model that serves stays",
}


@step("gate")
def run(
    evaluation_dir: str, model_dir: str, info_dir: str, gate: dict[str, Any], decision_dir: str, page_path: str
) -> bool:
    """Decide, and write decision.json, decision.md and the page, which holds the same Markdown.

    Args:
        evaluation_dir: holds evaluation.json.
        model_dir: holds freeze_certificate.json.
        info_dir: holds report.json, the data validation.
        gate: the `gate` section of the configuration.
        decision_dir: directory to create.
        page_path: file to create.

    Returns:
        True to promote, False to hold (the verdict is `hold` or `inconclusive`).

    Raises:
        ConfigError: the section is wrong.
        StorageError: the decision cannot be written.
    """
    decision = decide(
        _read(Path(evaluation_dir) / "evaluation.json", "evaluation"),
        _read(Path(model_dir) / "freeze_certificate.json", "freeze_certificate"),
        _read(Path(info_dir) / "report.json", "validation"),
        parse(GateConfig, gate, field="gate"),
    )
    review = markdown(decision).encode()
    artifacts.write_json(Path(decision_dir) / "decision.json", "decision", decision)
    artifacts.write_file(Path(decision_dir) / "decision.md", review)
    artifacts.write_file(Path(page_path), review)
    say(f"{decision['verdict']}: {decision['reason']}")
    return bool(decision["verdict"] == "promote")


def decide(evaluation: Evidence, certificate: Evidence, validation: Evidence, config: GateConfig) -> Json:
    """The decision as a pure function of the evidence; it raises nothing, whatever the evidence holds.

    Args:
        evaluation: what `evaluate` wrote, or why it cannot be read.
        certificate: the freeze certificate of the model, or why it cannot be read.
        validation: the data validation report, or why it cannot be read.
        config: floor, margin and confidence.

    Returns:
        {"verdict", "model_digest", "checks", "reason"}. Any failed check gives `hold`, else any inconclusive one
        gives `inconclusive`, else `promote`.
    """
    checks = [
        _check("freeze", lambda: _freeze(certificate, evaluation)),
        _check("data", lambda: _data(validation)),
        _check("accuracy", lambda: _accuracy(evaluation, config)),
        _check("champion", lambda: _champion(evaluation, config)),
    ]
    failed = [check for check in checks if check["verdict"] == "fail"]
    unsure = [check for check in checks if check["verdict"] == "inconclusive"]
    decisive = failed or unsure or checks[2:]
    digest = evaluation.get("model_digest") if isinstance(evaluation, dict) else None
    return {
        "verdict": "hold" if failed else "inconclusive" if unsure else "promote",
        "model_digest": digest if isinstance(digest, str) else None,
        "checks": checks,
        "reason": "; ".join(check["reason"] for check in decisive),
    }


class _Document(BaseModel):
    """What a check needs of a document: exact types, finite numbers; other keys do not matter."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class _Interval(_Document):
    value: Annotated[float, Field(ge=-1.0, le=1.0)]
    low: Annotated[float, Field(ge=-1.0, le=1.0)]
    high: Annotated[float, Field(ge=-1.0, le=1.0)]

    @model_validator(mode="after")
    def _in_order(self) -> _Interval:
        if not self.low <= self.value <= self.high:
            raise ValueError("low <= value <= high does not hold")
        return self

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


class _Certificate(_Document):
    verified: bool
    frozen_tensors: Annotated[int, Field(ge=0)]
    moved: list[str]
    model_digest: Annotated[str, Field(min_length=1)]


class _Validation(_Document):
    valid: bool
    problems: list[str]


class _Subject(_Document):
    model_digest: Annotated[str, Field(min_length=1)]


class _Measured(_Subject):
    examples: Annotated[int, Field(ge=1)]
    confidence: float


class _Challenger(_Measured):
    accuracy: _Interval


class _Comparable(_Document):
    comparable: bool
    reason: str = ""


class _Champion(_Subject):
    version: int
    examples: Annotated[int, Field(ge=1)]
    both_right: Annotated[int, Field(ge=0)]
    only_challenger_right: Annotated[int, Field(ge=0)]
    only_champion_right: Annotated[int, Field(ge=0)]
    both_wrong: Annotated[int, Field(ge=0)]
    difference: _Interval

    @model_validator(mode="after")
    def _adds_up(self) -> _Champion:
        disagreed = self.only_challenger_right + self.only_champion_right
        if self.both_right + disagreed + self.both_wrong != self.examples:
            raise ValueError("the four counts do not sum to examples")
        if abs((self.only_challenger_right - self.only_champion_right) / self.examples - self.difference.value) > 1e-9:
            raise ValueError("the difference is not that of the counts")
        return self


class _UnusableError(Exception):
    """Evidence that no check can rest on; the message says why."""


def _freeze(certificate: Evidence, evaluation: Evidence) -> Json:
    proof = _Certificate.model_validate(_document(certificate))
    subject = _Subject.model_validate(_document(evaluation))
    if not proof.verified or proof.moved:
        names = ", ".join(proof.moved[:3]) or "no tensor named"
        return _result("fail", f"the freeze certificate says that frozen weights moved ({names})")
    if proof.model_digest != subject.model_digest:
        return _result("fail", "the freeze certificate is for another model than the one evaluated")
    reason = f"the certificate for this model proves {proof.frozen_tensors} frozen tensors unchanged"
    return _result("pass", reason, value=proof.frozen_tensors)


def _data(validation: Evidence) -> Json:
    report = _Validation.model_validate(_document(validation))
    if not report.valid or report.problems:
        return _result("fail", "the data are not valid: " + ("; ".join(report.problems[:3]) or "no problem named"))
    return _result("pass", "the data passed validation")


def _accuracy(evaluation: Evidence, config: GateConfig) -> Json:
    document = _document(evaluation)
    measured = _Challenger.model_validate(document)
    _require_confidence(measured, config)
    accuracy, floor = measured.accuracy, config.min_accuracy
    if accuracy.low < 0.0:
        raise _UnusableError(f"evaluation.json: accuracy: received {accuracy}; expected 0 to 1")
    outcome: Outcome = "fail" if accuracy.high < floor else "pass" if accuracy.low >= floor else "inconclusive"
    told = {"fail": "is below", "pass": "reaches", "inconclusive": "may or may not reach"}[outcome]
    reason = f"accuracy {accuracy} on {measured.examples:,} test images {told} the floor of {floor:g}"
    return _result(outcome, reason, value=accuracy.value, limit=floor)


def _champion(evaluation: Evidence, config: GateConfig) -> Json:
    document = _document(evaluation)
    measured = _Measured.model_validate(document)
    _require_confidence(measured, config)
    if "champion" not in document:
        raise _UnusableError("evaluation.json: champion: is missing; expected a comparison, or null for no champion")
    if document["champion"] is None:
        return _result("pass", "no champion yet")
    fit = _Comparable.model_validate(document["champion"])
    if not fit.comparable:
        return _result("fail", f"cannot be compared with the champion: {fit.reason or 'no reason given'}")
    if _Subject.model_validate(document["champion"]).model_digest == measured.model_digest:
        return _result("pass", "it is the same model as the champion", value=0.0, limit=-config.margin)
    champion = _Champion.model_validate(document["champion"])
    if champion.examples != measured.examples:
        raise _UnusableError(
            f"evaluation.json: champion.examples: received {champion.examples}; expected {measured.examples}, "
            "the examples that the model was measured on"
        )
    difference, worst = champion.difference, -config.margin
    outcome: Outcome = "fail" if difference.high < worst else "pass" if difference.low >= worst else "inconclusive"
    told = {
        "fail": "worse by more than the margin",
        "pass": "not worse by more than the margin",
        "inconclusive": "perhaps worse by more than the margin",
    }[outcome]
    reason = f"difference {difference} to the champion, version {champion.version}: {told} of {config.margin:g}"
    return _result(outcome, reason, value=difference.value, limit=worst)


def _require_confidence(measured: _Measured, config: GateConfig) -> None:
    if abs(measured.confidence - config.confidence) > 1e-9:
        raise _UnusableError(
            f"evaluation.json: confidence: received {measured.confidence:g}; "
            f"the gate asks for {config.confidence:g}, so evaluate again"
        )


def _document(evidence: Evidence) -> Json:
    if isinstance(evidence, dict):
        return evidence
    raise _UnusableError(str(evidence))


def _result(verdict: Outcome, reason: str, *, value: float | None = None, limit: float | None = None) -> Json:
    return {"verdict": verdict, "value": value, "limit": limit, "reason": _one_line(reason)}


def _check(name: str, look: Callable[[], Json]) -> Json:
    """One check; whatever stops it is a failure with the reason."""
    try:
        result = look()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or error.title.strip("_").lower()
        received = "" if isinstance(first["input"], dict) else f": received {repr(first['input'])[:60]}"
        told = first["msg"].removeprefix("Value error, ")
        result = _result("fail", f"the evidence cannot be used: {where}{received}; {told}")
    except _UnusableError as error:
        result = _result("fail", str(error))
    except Exception as error:  # the gate fails closed on what nobody foresaw
        result = _result("fail", f"the check broke off: {type(error).__name__}: {error}")
    return {"name": name, **result}


def _read(path: Path, kind: str) -> Evidence:
    try:
        return artifacts.read_json(path, kind)
    except Exception as error:  # unreadable evidence is a failed check, not a failed step
        return _one_line(str(error) or type(error).__name__)


def _one_line(text: str) -> str:
    """At most 500 characters that can be printed: no line breaks, terminal controls or halves of surrogate pairs."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:500]


def markdown(decision: Json) -> str:
    """The decision as a short review: a headline, a few sentences, a table of the checks."""
    verdict, checks = decision["verdict"], decision["checks"]
    passed = sum(check["verdict"] == "pass" for check in checks)
    about = {
        "promote": "The evidence allows it.",
        "hold": "The evidence speaks against a promotion.",
        "inconclusive": "The evidence is too thin to say; more test images would narrow the intervals.",
    }[verdict]
    lines = [
        f"# {_HEADLINES[verdict]}",
        "",
        f"{about} {passed} of {len(checks)} checks passed. What decided: {_cell(decision['reason'])}.",
        "",
        "| check | verdict | value | limit | why |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {check['name']} | {check['verdict']} | {_number(check['value'])} | {_number(check['limit'])} "
        f"| {_cell(check['reason'])} |"
        for check in checks
    ]
    model = _cell(decision["model_digest"] or "unknown")
    return "\n".join([*lines, "", f"Model: {model}", ""])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _cell(text: str) -> str:
    """Text that stays inside its cell and is no markup, whatever a file of evidence said."""
    for plain, escaped in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("`", "\\`"), ("[", "\\["), ("!", "\\!")):
        text = text.replace(plain, escaped)
    return _one_line(text)
