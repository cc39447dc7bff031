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
    *,
    evaluation: str,
    model: str,
    info: str,
    gate: dict[str, Any],
    decision: str,
    page: str,
    report: str,
) -> bool:
    """Decide, and write decision.json, decision.md, the evidence that no model carries yet, and two pages.

    Args:
        evaluation: holds evaluation.json.
        model: holds freeze_certificate.json.
        info: holds report.json, the data validation.
        gate: the `gate` section of the configuration.
        decision: directory to create.
        page: file to create, decision.md once more.
        report: file to create, the whole run on one page.

    Returns:
        True to promote, False to hold (the verdict is `hold` or `inconclusive`).

    Raises:
        ConfigError: the section is wrong.
        StorageError: the decision cannot be written.
    """
    evaluation_dir, model_dir, out = Path(evaluation), Path(model), Path(decision)
    validation = evidence(Path(info) / "report.json", "validation")
    decided = decide(
        evidence(evaluation_dir / "evaluation.json", "evaluation"),
        evidence(model_dir / "freeze_certificate.json", "freeze_certificate"),
        validation,
        parse(GateConfig, gate, field="gate"),
    )
    review = as_markdown(decided).encode()
    artifacts.write_json(out / "decision.json", "decision", decided)
    artifacts.write_file(out / "decision.md", review)
    if isinstance(validation, dict):  # published with the model, so that a version can be judged again
        artifacts.write_json(out / "validation.json", "validation", validation)
    artifacts.write_file(Path(page), review)
    _report(Path(report), evaluation_dir, model_dir, decided)
    say(f"{decided['verdict']}: {decided['reason']}")
    return bool(decided["verdict"] == "promote")


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
