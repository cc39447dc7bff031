"""What a registry says about the champions of a model, one after the other."""

from __future__ import annotations

from typing import TypedDict


class Rate(TypedDict):
    """An accuracy with its interval, 0..1."""

    value: float
    low: float
    high: float


class Opposed(TypedDict):
    """A version that a model was compared with; `gain` is None if they could not be compared."""

    version: int
    gain: float | None


class Measurement(TypedDict):
    """What was measured in one evaluation of the chain; all None where nothing was, or nothing is known."""

    images: int | None
    accuracy: Rate | None
    champion: Opposed | None
    reference: Opposed | None


class ChainRow(Measurement):
    """Something that happened to the champion: `promoted`, `rolled back`, `held`, `candidate`, `pinned`, ..."""

    at: str
    kind: str
    version: int | None
    approver: str | None
    reason: str
