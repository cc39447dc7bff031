"""What the checks need of the comparison with the champion, a part of evaluation.json: counts that add up."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from frostline.gating.evidence import Count, Digest, Interval, PositiveCount, Required


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
    """The comparison as a whole."""

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
