"""Charts: where lines, points and axes lie, in the units of an SVG. The templates draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypedDict

from frostline.documents.training import EpochRow

LEFT, RIGHT, TOP, BOTTOM = 42.0, 352.0, 20.0, 172.0  # the frame of a chart, in the units of its SVG
_TICKS = 5  # at most, on an axis
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
    levels = ticks(low if high - low > 1e-3 * high else 0.0, high or 1.0)  # equal values: the axis starts at 0

    def x(epoch: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (epoch - first) / (last - first), 1)

    def y(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (value - levels[0]) / (levels[-1] - levels[0]), 1)

    return {
        "lines": {name: [(x(epoch), y(value)) for epoch, value in line] for name, line in values.items() if line},
        "phases": [
            (x(row["epoch"] - 0.5), row["phase"]) for one, row in pairwise(history) if one["phase"] != row["phase"]
        ],
        "x_ticks": [(x(tick), f"{tick:g}") for tick in ticks(first, last, 1.0) if first < tick < last],
        "y_ticks": [(y(level), f"{level:g}") for level in levels],
        "frame": {"left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM},
    }


def _finite(history: Sequence[EpochRow], column: _Column) -> list[tuple[int, float]]:
    """Epoch and value of every row with a finite value."""
    return [(row["epoch"], value) for row in history if math.isfinite(value := row.get(column, math.nan))]


def ticks(low: float, high: float, smallest: float = 0.0) -> list[float]:
    """The fewest multiples of 1, 2 or 5 times a power of ten that enclose low..high."""
    power = 10.0 ** math.floor(math.log10((high - low) / _TICKS))
    steps = (max(factor * power, smallest) for factor in (1, 2, 5, 10, 20))
    step = next(step for step in steps if math.ceil(high / step) - math.floor(low / step) < _TICKS)
    return [number * step for number in range(math.floor(low / step), math.ceil(high / step) + 1)]
