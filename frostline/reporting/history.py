"""The chain of champions as a chart: the accuracy of each evaluation, what was promoted, and the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from frostline.documents.chain import ChainRow, Rate
from frostline.documents.evaluation import Evaluation
from frostline.reporting.charts import BOTTOM, LEFT, TOP, Frame, ticks

_RIGHT = 740.0  # the frame's right edge; the chart is twice as wide as a learning curve
_NOW = "this model"
_KINDS = {"promoted": "promoted", "held": "held", _NOW: "now"}  # to the class of a point


class Point(TypedDict):
    """An evaluation: its place, the ends of its interval, its class (promoted, held, now, other) and its text."""

    x: float
    y: float
    low: float
    high: float
    kind: str
    reference: bool
    text: str


class HistoryChart(TypedDict):
    """What the chart draws; the ticks are (position, text), and `champions` connects what was promoted."""

    points: list[Point]
    champions: list[tuple[float, float]]
    y_ticks: list[tuple[float, str]]
    frame: Frame


def history_chart(evaluation: Evaluation) -> HistoryChart | None:
    """The evaluations of the chain and this one, in order; None if this is the first."""
    rows = [row for row in evaluation.get("chain", []) if row["accuracy"] is not None]
    if not rows:
        return None
    rows.append(_this(evaluation))
    rates = [row["accuracy"] for row in rows if row["accuracy"] is not None]
    low, high = min(rate["low"] for rate in rates), max(rate["high"] for rate in rates)
    levels = ticks(min(low, high - 0.01), high)
    against = evaluation.get("reference")

    def y(rate: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (rate - levels[0]) / (levels[-1] - levels[0]), 1)

    points = [
        _point(
            row, rate, round(LEFT + (_RIGHT - LEFT) * (place + 0.5) / len(rows), 1), y, against and against["version"]
        )
        for place, (row, rate) in enumerate(zip(rows, rates, strict=True))
    ]
    return {
        "points": points,
        "champions": [(one["x"], one["y"]) for one in points if one["kind"] == "promoted"],
        "y_ticks": [(y(level), f"{100 * level:g} %") for level in levels],
        "frame": {"left": LEFT, "right": _RIGHT, "top": TOP, "bottom": BOTTOM},
    }


def _this(evaluation: Evaluation) -> ChainRow:
    found = evaluation["accuracy"]
    return {
        "at": "",
        "kind": _NOW,
        "version": None,
        "images": evaluation["examples"],
        "accuracy": {"value": found["value"], "low": found["low"], "high": found["high"]},
        "champion": None,
        "reference": None,
        "approver": None,
        "reason": "",
    }


def _point(row: ChainRow, rate: Rate, x: float, y: Callable[[float], float], reference: int | None) -> Point:
    version = "" if row["version"] is None else f", version {row['version']}"
    date = f"{row['at'][:10]}, " if row["at"] else ""
    return {
        "x": x,
        "y": y(rate["value"]),
        "low": y(rate["low"]),
        "high": y(rate["high"]),
        "kind": _KINDS.get(row["kind"], "other"),
        "reference": row["kind"] == "promoted" and row["version"] == reference,
        "text": f"{date}{row['kind']}{version}: {100 * rate['value']:.1f} %",
    }
