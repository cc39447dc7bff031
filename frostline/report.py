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
from frostline.cache_plan import size_words

_LEFT, _RIGHT, _TOP, _BOTTOM = 42.0, 352.0, 20.0, 172.0  # the frame of a chart, in the units of its SVG
_TICKS = 5  # at most, on an axis


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


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("frostline", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["thousands"] = lambda number: f"{number:,}"
_ENVIRONMENT.filters["percent"] = lambda share: f"{100 * share:.1f} %"
_ENVIRONMENT.filters["size"] = size_words
_ENVIRONMENT.filters["curve"] = curve


def write(path: Path, template: str, **context: Any) -> None:
    """Render a template of `frostline/templates` into a file."""
    artifacts.write_file(path, _ENVIRONMENT.get_template(template).render(**context).encode())
