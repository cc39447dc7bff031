"""Pages for people: self-contained HTML from a step's results, everything escaped, nothing loaded from a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2

from frostline import artifacts
from frostline.artifacts import Json
from frostline.text import size_words

_LEFT, _RIGHT, _TOP, _BOTTOM = 42.0, 352.0, 20.0, 172.0  # the frame of a chart, in the units of its SVG
_TICKS = 5  # at most, on an axis
_CONFUSIONS = 20  # pairs of classes that a list of them holds


def curve(history: Sequence[Json], measure: str) -> Json:
    """Where the lines and axes of one chart lie: a measure of both splits over the epochs.

    Args:
        history: rows of training.jsonl; a row that lacks a value, or has one that is not finite, is left out.
        measure: key of the training split's value; `validation_` and it is the other's.

    Returns:
        lines ({name: [(x, y), ..]}, those without a point left out), phases ([(x, number), ..] of all but the first),
        x_ticks and y_ticks ([(place, text), ..]), and the frame's left, right, top and bottom; in units of the SVG.
    """
    values: dict[str, list[tuple[int, float]]] = {
        name: [(row["epoch"], row[key]) for row in history if math.isfinite(row.get(key, math.nan))]
        for name, key in (("train", measure), ("validation", f"validation_{measure}"))
    }
    epochs: list[int] = [row["epoch"] for row in history]
    first, last = min(epochs) - 0.5, max(epochs) + 0.5
    heights = [value for line in values.values() for _, value in line] or [0.0]
    low, high = min(heights), max(heights)
    levels = _ticks(low if high - low > 1e-3 * high else 0.0, high or 1.0)  # equal values: the axis begins at 0

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


def _ticks(low: float, high: float, smallest: float = 0.0) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, the fewest that enclose low..high in steps that people read."""
    power = 10.0 ** math.floor(math.log10((high - low) / _TICKS))
    steps = (max(factor * power, smallest) for factor in (1, 2, 5, 10, 20))
    step = next(step for step in steps if math.ceil(high / step) - math.floor(low / step) < _TICKS)
    return [number * step for number in range(math.floor(low / step), math.ceil(high / step) + 1)]


def confusions(evaluation: Json) -> list[Json]:
    """The pairs of classes that are confused most, the most images first.

    Args:
        evaluation: labels, and confusion: [classes][classes] counts, rows are true classes.

    Returns:
        At most 20 of {label, predicted, count, share (of the true class's images)}.
    """
    labels: list[str] = evaluation["labels"]
    wrong: list[Json] = []
    for true, row in enumerate(evaluation["confusion"]):
        total = sum(row)
        wrong += [
            {"label": labels[true], "predicted": labels[predicted], "count": count, "share": count / total}
            for predicted, count in enumerate(row)
            if count and predicted != true
        ]
    return sorted(wrong, key=lambda pair: -int(pair["count"]))[:_CONFUSIONS]


def _place(value: float, low: float, high: float) -> float:
    """Where a value lies on a track from low to high, 0..100."""
    return round(100 * min(max((value - low) / (high - low), 0.0), 1.0), 2)


def _minus(text: str) -> str:
    """With a minus sign that is as wide as the plus."""
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


def write(path: Path, template: str, **context: Any) -> None:
    """Render a template of `frostline/templates` into a file."""
    artifacts.write_file(path, _ENVIRONMENT.get_template(template).render(**context).encode())


def run_page(
    path: Path,
    *,
    model_name: str,
    plan: Json,
    history: Sequence[Json],
    sentences: Sequence[str],
    evaluation: Json,
    worst: Sequence[Json],
    decision: Json | None,
) -> None:
    """Write a run's report: one HTML file that needs no other and no network.

    Args:
        path: where to.
        model_name: name of the model in the registry.
        plan: freeze_plan.json.
        history: rows of training.jsonl, possibly none.
        sentences: what training.json tells people.
        evaluation: evaluation.json.
        worst: the images of worst.json: id, label, predicted, probability, true_probability, thumbnail (a data URI).
        decision: decision.json; None before anything is decided, for what the evaluation found.
    """
    context = {"model_name": model_name, "plan": plan, "history": history, "sentences": sentences}
    write(path, "run.html", **context, evaluation=evaluation, worst=worst, decision=decision)
