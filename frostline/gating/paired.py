"""The comparisons with the champion and the reference, parts of evaluation.json: counts that add up, and their test."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from frostline.evaluation import compare
from frostline.gating import evidence
from frostline.gating.config import GateConfig
from frostline.gating.evidence import (
    Count,
    Digest,
    Evidence,
    Interval,
    PositiveCount,
    Required,
    UnusableError,
    part,
    require_confidence,
)
from frostline.gating.result import UNCOMPARABLE, Outcome, Result, percent, points


class Comparable(Required):
    """Whether there is a comparison."""

    comparable: bool
    reason: str = ""


class Pairs(Required):
    """The four counts of a paired comparison."""

    examples: PositiveCount
    both_right: Count
    only_challenger_right: Count
    only_champion_right: Count
    both_wrong: Count

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        disagreed = self.only_challenger_right + self.only_champion_right
        if self.both_right + disagreed + self.both_wrong != self.examples:
            raise ValueError("the four counts do not sum to examples")
        return self

    @property
    def gain(self) -> float:
        """The challenger's accuracy minus the champion's, -1..1."""
        return (self.only_challenger_right - self.only_champion_right) / self.examples


class Champion(Pairs):
    """The comparison as a whole, with the champion or with the reference."""

    manifest_digest: Digest
    model_digest: Digest
    version: int
    excluded: Count
    made_with: Count
    new_labels: list[str]
    difference: Interval

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if abs(self.gain - self.difference.value) > 1e-9:
            raise ValueError("the difference does not follow from the counts")
        if self.made_with > self.excluded:
            raise ValueError("made_with is larger than excluded")
        return self


class PairedSlice(Pairs):
    """The comparison on a class or a metadata slice."""

    column: str
    value: str


class ChampionSlices(Required):
    """The part of the comparison with the slices."""

    slices: list[PairedSlice]


class Reference(Required):
    """The part of a comparison that only that with the reference has."""

    pinned: bool
    stored: bool
    replaces: str


def is_same(champion: object, reference: object) -> bool:
    """Whether the reference is the champion."""
    if not isinstance(champion, dict) or not isinstance(reference, dict):
        return False
    return all(champion.get(key) == reference.get(key) for key in ("version", "manifest_digest"))


def opponent(evaluation: Evidence, config: GateConfig, against: Literal["champion", "reference"]) -> Champion | Result:
    """The comparison, or the result if there is none to make.

    Raises:
        UnusableError, ValidationError: the evidence cannot be used.
    """
    measured = evidence.Measured.of(evaluation)
    require_confidence(measured, config)
    document = part(evaluation, against)
    if document is None:
        if part(evaluation, "champion") is not None:
            raise UnusableError(f"evaluation.json: {against}: received null although there is a champion")
        return Result("pass", "no champion yet")
    fit = Comparable.model_validate(document)
    if not fit.comparable:
        return Result("fail", f"{UNCOMPARABLE[against]}: {fit.reason or 'no reason given'}")
    found = Champion.model_validate(document)
    if found.model_digest == measured.model_digest:
        limit = 0.0 if config.comparison == "superiority" else -config.margin
        return Result("pass", f"it is the same model as the {against}", 0.0, limit)
    return found


def counts(found: Champion, other: str) -> str:
    """The comparison in words, with the counts that the test uses."""
    return (
        f"of {found.examples:,} images given to both, only this model is correct on {found.only_challenger_right:,} "
        f"and only {other}, version {found.version}, on {found.only_champion_right:,}: {points(found.gain)}"
    )


def non_inferiority(found: Champion, margin: float, confidence: float, name: str) -> tuple[Outcome, str]:
    """Whether the model is not worse by more than a margin (0..1) at a confidence (0..1), and why in words."""
    pairs = (found.only_challenger_right, found.only_champion_right, found.examples)
    low, high = compare.bounds(*pairs, confidence)
    the_margin, at = f"{name} of {100 * margin:g} points", f"at {percent(confidence)} confidence"
    if high < -margin:
        return "fail", f"at most {points(high)} {at}: worse by more than {the_margin}"
    if low >= -margin:
        return "pass", f"at least {points(low)} {at}: not worse by more than {the_margin}"
    seems = "seems" if found.gain < -margin else "may be"
    return (
        "inconclusive",
        f"between {points(low)} and {points(high)}, each bound {at}: it {seems} worse by more than {the_margin}",
    )
