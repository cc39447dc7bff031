"""Pages for people: self-contained HTML from a step's results, with everything escaped and nothing loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import jinja2

from frostline import artifacts
from frostline.documents.evaluation import Evaluation, Mistake
from frostline.documents.freeze import FreezePlan
from frostline.documents.release import Decision
from frostline.documents.training import EpochRow
from frostline.reporting.charts import curve
from frostline.reporting.history import history_chart
from frostline.text import size_words

_CONFUSIONS = 20  # pairs of classes that a list of them has at most


class Confusion(TypedDict):
    """Images of `label` that were predicted as `predicted`; `share` (0..1) is of the true class's images."""

    label: str
    predicted: str
    count: int
    share: float


def confusions(evaluation: Evaluation) -> list[Confusion]:
    """The pairs of classes that are confused most, at most 20, most images first."""
    labels = evaluation["labels"]
    wrong: list[Confusion] = []
    for true, row in enumerate(evaluation["confusion"]):
        total = sum(row)
        wrong += [
            {"label": labels[true], "predicted": labels[predicted], "count": count, "share": count / total}
            for predicted, count in enumerate(row)
            if count and predicted != true
        ]
    return sorted(wrong, key=lambda pair: -pair["count"])[:_CONFUSIONS]


def smallest_losses(decision: Decision | None) -> dict[tuple[str, str], str]:
    """In words, the smallest loss against the champion that each slice could have shown, by column and value."""
    rows = [] if decision is None else decision.get("slices", [])
    return {
        (row["column"], row["value"]): "too few images" if row["smallest"] is None else f"{100 * row['smallest']:.1f}"
        for row in rows
        if row["against"] == "champion"
    }


def _place(value: float, low: float, high: float) -> float:
    """The position of a value on a track from low to high, 0..100."""
    return round(100 * min(max((value - low) / (high - low), 0.0), 1.0), 2)


def _minus(text: str) -> str:
    """The text with a minus sign that is as wide as the plus."""
    return text.replace("-", "\N{MINUS SIGN}")


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("frostline.reporting", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "thousands": lambda number: f"{number:,}",
    "percent": lambda share: f"{100 * share:.1f}\N{NO-BREAK SPACE}%",
    "points": lambda share: _minus(f"{100 * share:+.1f}"),
    "signed": lambda value: _minus(f"{value:+.4f}"),
    "size": size_words,
    "place": _place,
    "curve": curve,
    "confusions": confusions,
    "history_chart": history_chart,
    "smallest_losses": smallest_losses,
}


def write(path: Path, template: str, **context: object) -> None:
    """Render a template of `frostline/reporting/templates` into a file."""
    artifacts.write_file(path, _ENVIRONMENT.get_template(template).render(**context).encode())


def run_page(
    path: Path,
    *,
    model_name: str,
    plan: FreezePlan,
    history: Sequence[EpochRow],
    sentences: Sequence[str],
    evaluation: Evaluation,
    worst: Sequence[Mistake],
    decision: Decision | None,
) -> None:
    """Write a run's report: one self-contained HTML file.

    Args:
        path: to write to.
        model_name: name of the model in the registry.
        plan: freeze_plan.json.
        history: rows of training.jsonl, possibly none.
        sentences: those of training.json.
        evaluation: evaluation.json.
        worst: the images of worst.json.
        decision: decision.json; None before the gate has decided.
    """
    write(
        path,
        "run.html",
        model_name=model_name,
        plan=plan,
        history=history,
        sentences=sentences,
        evaluation=evaluation,
        worst=worst,
        decision=decision,
    )
