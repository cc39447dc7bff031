"""The decision: a pure function of evaluation, certificate, validation and configuration, failing closed.

Evidence that is missing, unreadable, not a number or out of range is a failed check: never an exception that loses
the decision, and never a promotion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from frostline import artifacts, digests
from frostline.artifacts import Json
from frostline.gating import champion, checks, consistency, floors, notes
from frostline.gating.config import GateConfig
from frostline.gating.evidence import Evidence, UnusableError
from frostline.gating.result import UNUSABLE, Result
from frostline.text import one_line

Look = Callable[[], Result]


def decide(
    evaluation: Evidence,
    certificate: Evidence,
    validation: Evidence,
    config: GateConfig,
    place: Mapping[str, Look] | None = None,
) -> Json:
    """The decision as a pure function of the evidence; it raises nothing, whatever the evidence holds.

    Args:
        evaluation: what `evaluate` wrote, or why it cannot be read.
        certificate: the freeze certificate of the model, or why it cannot be read.
        validation: the data validation report, or why it cannot be read.
        config: floors, the comparison, limits and the confidence.
        place: further checks by name, of where the evidence lies.

    Returns:
        {"verdict", "model_digest", "evaluation_digest", "approval", "config", "checks", "reason", "notes",
        "examples_needed"}. Any failed check gives `hold`, else any inconclusive one gives `inconclusive`, else
        `promote`. `examples_needed` is about how many test images would settle an inconclusive verdict; None for
        another, or where no number would.
    """
    looks: dict[str, Look] = {
        "evidence": lambda: consistency.evidence(evaluation),
        "freeze": lambda: checks.freeze(certificate, evaluation),
        "data": lambda: checks.data(validation),
        "leakage": lambda: checks.leakage(evaluation),
        "skew": lambda: checks.skew(evaluation, config),
        "accuracy": lambda: floors.accuracy(evaluation, config),
        "classes": lambda: floors.classes(evaluation, config),
        "slices_floor": lambda: floors.slices(evaluation, config),
        "champion": lambda: champion.champion(evaluation, config),
        "slices": lambda: champion.slices(evaluation, config),
        "calibration": lambda: checks.calibration(evaluation, config),
        "latency": lambda: checks.latency(evaluation, config),
        "size": lambda: checks.size(evaluation, config),
        **(place or {}),
    }
    results = {name: _look(look) for name, look in looks.items()}
    failed = [result for result in results.values() if result.verdict == "fail"]
    unsure = [result for result in results.values() if result.verdict == "inconclusive"]
    decisive = failed or unsure or [results["accuracy"], results["champion"]]
    needed = [result.needed for result in unsure if result.needed is not None]
    digest = evaluation.get("model_digest") if isinstance(evaluation, dict) else None
    verdict = "hold" if failed else "inconclusive" if unsure else "promote"
    return {
        "verdict": verdict,
        "model_digest": digest if isinstance(digest, str) else None,
        "evaluation_digest": _digest(evaluation),
        "approval": config.approval,
        "config": config.model_dump(mode="json"),
        "checks": [
            {
                "name": name,
                "verdict": result.verdict,
                "value": result.value,
                "limit": result.limit,
                "reason": one_line(result.reason, 500),
            }
            for name, result in results.items()
        ],
        "reason": "; ".join(dict.fromkeys(one_line(result.reason, 500) for result in decisive)),
        "notes": [one_line(note, 500) for note in notes.notes(evaluation, config)],
        "examples_needed": max(needed) if verdict == "inconclusive" and len(needed) == len(unsure) else None,
    }


def evidence(path: Path, kind: str) -> Evidence:
    """A document of the given kind, or in one line why it cannot be read."""
    try:
        return artifacts.read_json(path, kind)
    except Exception as error:  # unreadable evidence is a failed check, not a failed step
        return one_line(str(error) or type(error).__name__, 500)


def _digest(evaluation: Evidence) -> str | None:
    """What push knows it by; None for what is no JSON."""
    try:
        return digests.of_json(evaluation) if isinstance(evaluation, dict) else None
    except (TypeError, ValueError, RecursionError):
        return None


def _look(look: Look) -> Result:
    """One check; whatever stops it is a failure with the reason."""
    try:
        return look()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or error.title.lower()
        received = "" if isinstance(first["input"], dict | list) else f": received {repr(first['input'])[:60]}"
        return Result("fail", f"{UNUSABLE}: {where}{received}; {first['msg'].removeprefix('Value error, ')}")
    except UnusableError as error:
        return Result("fail", f"{UNUSABLE}: {error}")
    except Exception as error:  # the gate fails closed on what nobody foresaw
        return Result("fail", f"the check broke off: {type(error).__name__}: {error}")
