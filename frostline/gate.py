"""The gate stage: may this model replace the one that serves? Decided from written evidence alone, failing closed.

Evidence that is missing, unreadable, not a number or out of range is a failed check: never an exception that loses
the decision, and never a promotion.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from frostline import artifacts, gate_champion, gate_checks, gate_floors, gate_notes, report
from frostline.artifacts import Json
from frostline.events import say, step
from frostline.gate_config import GateConfig
from frostline.gate_documents import Evidence, UnusableError
from frostline.gate_result import UNUSABLE, Result, one_line
from frostline.review import markdown
from frostline.section import parse


@step("gate")
def run(
    evaluation_dir: str,
    model_dir: str,
    info_dir: str,
    gate: dict[str, Any],
    decision_dir: str,
    page_path: str,
    report_path: str,
) -> bool:
    """Decide, and write decision.json, decision.md, the evidence that no model carries yet, and two pages.

    Args:
        evaluation_dir: holds evaluation.json.
        model_dir: holds freeze_certificate.json.
        info_dir: holds report.json, the data validation.
        gate: the `gate` section of the configuration.
        decision_dir: directory to create.
        page_path: file to create, decision.md once more.
        report_path: file to create, the whole run on one page.

    Returns:
        True to promote, False to hold (the verdict is `hold` or `inconclusive`).

    Raises:
        ConfigError: the section is wrong.
        StorageError: the decision cannot be written.
    """
    evaluation, model, out = Path(evaluation_dir), Path(model_dir), Path(decision_dir)
    validation = evidence(Path(info_dir) / "report.json", "validation")
    decision = decide(
        evidence(evaluation / "evaluation.json", "evaluation"),
        evidence(model / "freeze_certificate.json", "freeze_certificate"),
        validation,
        parse(GateConfig, gate, field="gate"),
    )
    review = markdown(decision).encode()
    artifacts.write_json(out / "decision.json", "decision", decision)
    artifacts.write_file(out / "decision.md", review)
    if isinstance(validation, dict):  # published with the model, so that a version can be judged again
        artifacts.write_json(out / "validation.json", "validation", validation)
    artifacts.write_file(Path(page_path), review)
    _report(Path(report_path), evaluation, model, decision)
    say(f"{decision['verdict']}: {decision['reason']}")
    return bool(decision["verdict"] == "promote")


def _report(path: Path, evaluation: Path, model: Path, decision: Json) -> None:
    """The whole run on one page, or where its files do not give one, the decision alone."""
    try:
        measured = artifacts.read_json(evaluation / "evaluation.json", "evaluation")
        report.run_page(
            path,
            model_name=measured["model_name"],
            plan=artifacts.read_json(model / "freeze_plan.json", "freeze_plan"),
            history=list(artifacts.read_jsonl(model / "training.jsonl")),
            sentences=artifacts.read_json(model / "training.json", "training")["sentences"],
            evaluation=measured,
            worst=artifacts.read_json(evaluation / "worst.json", "worst")["images"],
            decision=decision,
        )
    except Exception as error:  # a page must not lose a decision
        say(f"the report shows the decision alone: {one_line(f'{type(error).__name__}: {error}')}")
        report.write(path, "decision.html", review=markdown(decision))


def decide(evaluation: Evidence, certificate: Evidence, validation: Evidence, config: GateConfig) -> Json:
    """The decision as a pure function of the evidence; it raises nothing, whatever the evidence holds.

    Args:
        evaluation: what `evaluate` wrote, or why it cannot be read.
        certificate: the freeze certificate of the model, or why it cannot be read.
        validation: the data validation report, or why it cannot be read.
        config: floors, the comparison, limits and the confidence.

    Returns:
        {"verdict", "model_digest", "approval", "config", "checks", "reason", "notes", "examples_needed"}. Any failed
        check gives `hold`, else any inconclusive one gives `inconclusive`, else `promote`. `examples_needed` is about
        how many test images would settle an inconclusive verdict; None for another, or where no number would.
    """
    looks: dict[str, Callable[[], Result]] = {
        "freeze": lambda: gate_checks.freeze(certificate, evaluation),
        "data": lambda: gate_checks.data(validation),
        "leakage": lambda: gate_checks.leakage(evaluation),
        "skew": lambda: gate_checks.skew(evaluation, config),
        "accuracy": lambda: gate_floors.accuracy(evaluation, config),
        "classes": lambda: gate_floors.classes(evaluation, config),
        "slices_floor": lambda: gate_floors.slices(evaluation, config),
        "champion": lambda: gate_champion.champion(evaluation, config),
        "slices": lambda: gate_champion.slices(evaluation, config),
        "calibration": lambda: gate_checks.calibration(evaluation, config),
        "latency": lambda: gate_checks.latency(evaluation, config),
        "size": lambda: gate_checks.size(evaluation, config),
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
        "approval": config.approval,
        "config": config.model_dump(mode="json"),
        "checks": [
            {
                "name": name,
                "verdict": result.verdict,
                "value": result.value,
                "limit": result.limit,
                "reason": one_line(result.reason),
            }
            for name, result in results.items()
        ],
        "reason": "; ".join(dict.fromkeys(one_line(result.reason) for result in decisive)),
        "notes": [one_line(note) for note in gate_notes.notes(evaluation, config, verdict)],
        "examples_needed": max(needed) if verdict == "inconclusive" and len(needed) == len(unsure) else None,
    }


def evidence(path: Path, kind: str) -> Evidence:
    """A document of the given kind, or in one line why it cannot be read."""
    try:
        return artifacts.read_json(path, kind)
    except Exception as error:  # unreadable evidence is a failed check, not a failed step
        return one_line(str(error) or type(error).__name__)


def _look(look: Callable[[], Result]) -> Result:
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
