"""What a check of the gate hands over, and the words that the checks share."""

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
        limit: what it was held against.
        needed: of an inconclusive check, about how many test images would settle it; None where no number would.
    """

    verdict: Outcome
    reason: str
    value: float | None = None
    limit: float | None = None
    needed: int | None = None


NO_LIMIT = Result("pass", "no limit set")
UNCOMPARABLE = "cannot be compared with the champion"  # and of one that has no comparison to rest on
UNUSABLE = "the evidence cannot be used"  # how the reason of a check begins that had nothing to rest on


def would_tell(verdict: Outcome, needed: int | None) -> str:
    """What follows an inconclusive reason; nothing follows another."""
    if verdict != "inconclusive":
        return ""
    if needed is None:
        return "; at the rates seen no number of test images would let it pass"
    return f"; about {needed:,} test images would tell, if the rates stay as seen"


def share(value: float) -> str:
    """0.95 as `95 %`."""
    return f"{100 * value:.4g} %"


def points(value: float) -> str:
    """A difference of two shares: 0.005 as `+0.50 points`."""
    return f"{100 * value:+.2f} points"
