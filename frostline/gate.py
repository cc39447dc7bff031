"""The gate stage: can this model replace the one in production? Decided from written evidence alone, failing closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frostline import artifacts
from frostline.documents.data import VALIDATION
from frostline.documents.evaluation import EVALUATION, WORST
from frostline.documents.freeze import CERTIFICATE, FREEZE_PLAN
from frostline.documents.release import DECISION, PUBLISHED_VALIDATION, REVIEW_FILE, Decision
from frostline.documents.training import HISTORY, TRAINING
from frostline.events import say, step
from frostline.gating.config import GateConfig
from frostline.gating.decision import decide, load
from frostline.gating.review import as_markdown
from frostline.reporting import pages
from frostline.section import parse
from frostline.text import one_line


@step("gate")
def run(
    *,
    evaluation: str,
    record: str,
    info: str,
    gate: dict[str, Any],
    decision: str,
    page: str,
    report: str,
) -> bool:
    """Decide, and write decision.json, decision.md, validation.json and two pages.

    Args:
        evaluation: directory with evaluation.json.
        record: directory with freeze_certificate.json and what else tells of the training; that of the model will do.
        info: directory with report.json, the data validation.
        gate: the `gate` section of the configuration.
        decision: directory to create.
        page: file to create, a copy of decision.md.
        report: file to create, the whole run on one page.

    Returns:
        True to promote, False to hold (the verdict is `hold` or `inconclusive`).

    Raises:
        ConfigError: the section is wrong.
        StorageError: the decision cannot be written.
    """
    evaluation_dir, record_dir, out = Path(evaluation), Path(record), Path(decision)
    validation = load(Path(info) / VALIDATION.file, VALIDATION.kind)
    decided = decide(
        load(evaluation_dir / EVALUATION.file, EVALUATION.kind),
        load(record_dir / CERTIFICATE.file, CERTIFICATE.kind),
        validation,
        parse(GateConfig, gate, field="gate"),
    )
    review = as_markdown(decided).encode()
    DECISION.write(out, decided)
    artifacts.write_file(out / REVIEW_FILE, review)
    if isinstance(validation, dict):  # published with the model, so that the gate can decide again on the version
        artifacts.write_json(out / PUBLISHED_VALIDATION.file, PUBLISHED_VALIDATION.kind, validation)
    artifacts.write_file(Path(page), review)
    _write_report(Path(report), evaluation_dir, record_dir, decided)
    say(f"{decided['verdict']}: {decided['reason']}")
    return decided["verdict"] == "promote"


def _write_report(path: Path, evaluation_dir: Path, record_dir: Path, decision: Decision) -> None:
    """The whole run on one page, or the decision alone if a file for the page is missing or damaged."""
    try:
        evaluation = EVALUATION.read(evaluation_dir)
        pages.run_page(
            path,
            model_name=evaluation["model_name"],
            plan=FREEZE_PLAN.read(record_dir),
            history=HISTORY.read(record_dir),
            sentences=TRAINING.read(record_dir)["sentences"],
            evaluation=evaluation,
            worst=WORST.read(evaluation_dir)["images"],
            decision=decision,
        )
    except Exception as error:  # a page must not lose a decision
        say(f"the report shows the decision alone: {one_line(f'{type(error).__name__}: {error}')}")
        pages.write(path, "decision.html", review=as_markdown(decision))
