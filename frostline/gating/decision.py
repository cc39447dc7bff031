"""The decision: a pure function of evaluation, certificate, validation and configuration, failing closed.

Evidence that is missing, unreadable, not a number or out of range fails its check. It never raises an exception, which
would lose the decision, and never leads to a promotion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from frostline import artifacts, digests
from frostline.documents.release import CheckRow, Decision, SliceRow
from frostline.gating import champion, checks, consistency, drift, floors, notes, slices
from frostline.gating.config import GateConfig
from frostline.gating.evidence import Evidence, UnusableError
from frostline.gating.result import UNUSABLE, Result
from frostline.section import first_problem
from frostline.text import one_line

Check = Callable[[], Result]
_LONGEST = 500  # characters of a reason or a note


def decide(
    evaluation: Evidence,
    certificate: Evidence,
    validation: Evidence,
    config: GateConfig,
    further: Mapping[str, Check] | None = None,
) -> Decision:
    """The decision as a pure function of the evidence; raises nothing, whatever the evidence holds.

    Args:
        evaluation: evaluation.json, or the reason why it cannot be read.
        certificate: the freeze certificate of the model, or the reason why it cannot be read.
        validation: the data validation report, or the reason why it cannot be read.
        config: floors, the comparison, limits and the confidence.
        further: further checks by name, such as of the place where the evidence is kept.

    Returns:
        decision.json. A failed check gives `hold`, else an inconclusive one gives `inconclusive`, else the verdict is
        `promote`. `examples_needed` is about how many test images are needed to decide an inconclusive verdict; None
        for another verdict, or if no number is enough.
    """
    all_checks: dict[str, Check] = {
        "consistency": lambda: consistency.consistency(evaluation),
        "freeze": lambda: checks.freeze(certificate, evaluation),
        "data": lambda: checks.data(validation),
        "leakage": lambda: checks.leakage(evaluation),
        "skew": lambda: checks.skew(evaluation, config),
        "accuracy": lambda: floors.accuracy(evaluation, config),
        "classes": lambda: floors.classes(evaluation, config),
        "slices_floor": lambda: floors.slices(evaluation, config),
        "champion": lambda: champion.champion(evaluation, config),
        "drift": lambda: drift.drift(evaluation, config),
        "slices": lambda: slices.slices(evaluation, config),
        "calibration": lambda: checks.calibration(evaluation, config),
        "latency": lambda: checks.latency(evaluation, config),
        "size": lambda: checks.size(evaluation, config),
        **(further or {}),
    }
    results = {name: _run(check) for name, check in all_checks.items()}
    failed = [result for result in results.values() if result.verdict == "fail"]
    unsure = [result for result in results.values() if result.verdict == "inconclusive"]
    decisive = failed or unsure or [results["accuracy"], results["champion"]]
    needed = [result.needed for result in unsure if result.needed is not None]
    digest = evaluation.get("model_digest") if isinstance(evaluation, dict) else None
    verdict: Literal["promote", "hold", "inconclusive"] = "hold" if failed else "inconclusive" if unsure else "promote"
    return {
        "verdict": verdict,
        "model_digest": digest if isinstance(digest, str) else None,
        "evaluation_digest": _digest(evaluation),
        "approval": config.approval,
        "config": config.model_dump(mode="json"),
        "checks": [_row(name, result) for name, result in results.items()],
        "reason": "; ".join(dict.fromkeys(one_line(result.reason, _LONGEST) for result in decisive)),
        "notes": [one_line(note, _LONGEST) for note in notes.notes(evaluation, config)],
        "examples_needed": max(needed) if verdict == "inconclusive" and len(needed) == len(unsure) else None,
        "slices": _slices(evaluation, config),
        "becomes_reference": verdict == "promote" and drift.becomes_reference(evaluation, config),
    }


def load(path: Path, kind: str) -> Evidence:
    """A document of the given kind, or the reason in one line why it cannot be read."""
    try:
        return artifacts.read_json(path, kind)
    except Exception as error:  # unreadable evidence is a failed check, not a failed step
        return one_line(str(error) or type(error).__name__, _LONGEST)


def _row(name: str, result: Result) -> CheckRow:
    return {
        "name": name,
        "verdict": result.verdict,
        "value": result.value,
        "limit": result.limit,
        "reason": one_line(result.reason, _LONGEST),
    }


def _slices(evaluation: Evidence, config: GateConfig) -> list[SliceRow]:
    try:
        return slices.rows(evaluation, config)
    except Exception:  # the check of the slices reports it
        return []


def _digest(evaluation: Evidence) -> str | None:
    """The digest by which push recognises the evaluation; None if it is not JSON."""
    try:
        return digests.of_json(evaluation) if isinstance(evaluation, dict) else None
    except (TypeError, ValueError, RecursionError):
        return None


def _run(check: Check) -> Result:
    """Run one check; any exception is a failure with its reason."""
    try:
        return check()
    except ValidationError as error:
        problem = first_problem(error)
        received = "" if isinstance(problem.received, dict | list) else f": received {repr(problem.received)[:60]}"
        return Result("fail", f"{UNUSABLE}: {problem.place or error.title.lower()}{received}; {problem.expected}")
    except UnusableError as error:
        return Result("fail", f"{UNUSABLE}: {error}")
    except Exception as error:  # the gate fails closed on anything unforeseen
        return Result("fail", f"the check could not be completed: {type(error).__name__}: {error}")
