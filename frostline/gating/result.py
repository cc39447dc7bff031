"""Results of checks, and phrases that several checks use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Result:
    """What a check found.

    Attributes:
        verdict: pass, fail or inconclusive.
        reason: a clause for people, with the numbers.
        value: what was measured, if it is one number.
        limit: what the value was compared with.
        needed: if inconclusive, about how many test images are needed to decide; None if no number is enough.
    """

    verdict: Outcome
    reason: str
    value: float | None = None
    limit: float | None = None
    needed: int | None = None


NO_LIMIT = Result("pass", "no limit set")
# How a reason begins if there is no comparison.
UNCOMPARABLE = {name: f"cannot be compared with the {name}" for name in ("champion", "reference")}
UNUSABLE = "the evidence cannot be used"  # how a reason begins if evidence is missing or damaged


def images_needed(verdict: Outcome, needed: int | None) -> str:
    """What follows an inconclusive reason; empty for another verdict."""
    if verdict != "inconclusive":
        return ""
    if needed is None:
        return "; at the observed rates no number of test images would be enough"
    return f"; about {needed:,} test images are needed to decide, if the rates stay the same"


def percent(value: float) -> str:
    """0.95 as `95 %`."""
    return f"{100 * value:.4g} %"


def points(value: float) -> str:
    """A difference of two proportions: 0.005 as `+0.50 points`."""
    return f"{100 * value:+.2f} points"
