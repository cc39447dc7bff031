"""Pages for people: self-contained HTML from a step's results, with everything escaped and nothing loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypedDict

import jinja2

from frostline import artifacts
from frostline.documents.evaluation import Evaluation, Mistake
from frostline.documents.freeze import FreezePlan
from frostline.documents.release import Decision
from frostline.documents.training import EpochRow
from frostline.text import size_words

_LEFT, _RIGHT, _TOP, _BOTTOM = 42.0, 352.0, 20.0, 172.0  # the frame of a chart, in the units of its SVG
_TICKS = 5  # at most, on an axis
_CONFUSIONS = 20  # pairs of classes that a list of them has at most
Metric = Literal["loss", "accuracy"]
_Column = Literal["loss", "accuracy", "validation_loss", "validation_accuracy"]
_COLUMNS: dict[Metric, tuple[_Column, _Column]] = {
    "loss": ("loss", "validation_loss"),
    "accuracy": ("accuracy", "validation_accuracy"),
}


class Frame(TypedDict):
    """The edges of a chart, in units of its SVG."""

    left: float
    right: float
    top: float
    bottom: float


class Curve(TypedDict):
    """What one chart draws, in units of its SVG.

    `lines` has the points (x, y) of each split, `phases` the start (x, number) of all phases but the first, and the
    ticks are (position, text).
    """

    lines: dict[str, list[tuple[float, float]]]
    phases: list[tuple[float, int]]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    frame: Frame


class Confusion(TypedDict):
    """Images of `label` that were predicted as `predicted`; `share` (0..1) is of the true class's images."""

    label: str
    predicted: str
    count: int
    share: float


def curve(history: Sequence[EpochRow], metric: Metric) -> Curve:
    """The lines and axes of one chart: a metric on both splits by epoch.

    Args:
        history: rows of training.jsonl; rows without a finite value are left out, and so is a split without any.
        metric: which one.
    """
    values = {
        split: _finite(history, column) for split, column in zip(("train", "validation"), _COLUMNS[metric], strict=True)
    }
    epochs = [row["epoch"] for row in history]
    first, last = min(epochs) - 0.5, max(epochs) + 0.5
    heights = [value for line in values.values() for _, value in line] or [0.0]
    low, high = min(heights), max(heights)
    levels = _ticks(low if high - low > 1e-3 * high else 0.0, high or 1.0)  # equal values: the axis starts at 0

    def x(epoch: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * (epoch - first) / (last - first), 1)

    def y(value: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * (value - levels[0]) / (levels[-1] - levels[0]), 1)

    return {
        "lines": {name: [(x(epoch), y(value)) for epoch, value in line] for name, line in values.items() if line},
        "phases": [
            (x(row["epoch"] - 0.5), row["phase"]) for one, row in pairwise(history) if one["phase"] != row["phase"]
        ],
        "x_ticks": [(x(tick), f"{tick:g}") for tick in _ticks(first, last, 1.0) if first < tick < last],
        "y_ticks": [(y(level), f"{level:g}") for level in levels],
        "frame": {"left": _LEFT, "right": _RIGHT, "top": _TOP, "bottom": _BOTTOM},
    }


def _finite(history: Sequence[EpochRow], column: _Column) -> list[tuple[int, float]]:
    """Epoch and value of every row with a finite value."""
    return [(row["epoch"], value) for row in history if math.isfinite(value := row.get(column, math.nan))]


def _ticks(low: float, high: float, smallest: float = 0.0) -> list[float]:
    """The fewest multiples of 1, 2 or 5 times a power of ten that enclose low..high."""
    power = 10.0 ** math.floor(math.log10((high - low) / _TICKS))
    steps = (max(factor * power, smallest) for factor in (1, 2, 5, 10, 20))
    step = next(step for step in steps if math.ceil(high / step) - math.floor(low / step) < _TICKS)
    return [number * step for number in range(math.floor(low / step), math.ceil(high / step) + 1)]


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
