"""The gate stage: may this model replace the one that serves? Decided from written evidence alone, failing closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frostline import artifacts
from frostline.artifacts import Json
from frostline.events import say, step
from frostline.gating.config import GateConfig
from frostline.gating.decision import decide, evidence
from frostline.gating.review import as_markdown
from frostline.reporting import pages
from frostline.section import parse
from frostline.text import one_line


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
    review = as_markdown(decision).encode()
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
        pages.run_page(
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
        pages.write(path, "decision.html", review=as_markdown(decision))
