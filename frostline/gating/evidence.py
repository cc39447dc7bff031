"""What the gate's checks need of each document: exact types, finite numbers, parts that agree.

Other keys do not matter. A derived number is not trusted where its parts are at hand: shares are taken back to counts.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from frostline.artifacts import Json
from frostline.gating.config import GateConfig

Evidence = Json | str  # a document, or why there is none
Count = Annotated[int, Field(ge=0, le=10**9)]
Some = Annotated[int, Field(ge=1, le=10**9)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Digest = Annotated[str, Field(min_length=1)]


class UnusableError(Exception):
    """Evidence that no check can rest on; the message says why."""


def document(evidence: Evidence) -> Json:
    """The document, or UnusableError with the reason why there is none."""
    if isinstance(evidence, dict):
        return evidence
    raise UnusableError(str(evidence))


class Document(BaseModel):
    """Base of all: immutable, strict about types, no infinities."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class Interval(Document):
    """A number with its interval."""

    value: Annotated[float, Field(ge=-1.0, le=1.0)]
    low: Annotated[float, Field(ge=-1.0, le=1.0)]
    high: Annotated[float, Field(ge=-1.0, le=1.0)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError("low, value and high are not in this order")
        return self


class ShareInterval(Interval):
    """An interval inside 0..1."""

    low: Share


class Proven(Document):
    """Whether frozen tensors stayed, in one phase or in all."""

    verified: bool
    moved: list[str]


class Certificate(Proven):
    """freeze_certificate.json."""

    frozen_tensors: Count
    model_digest: Digest
    phases: Annotated[list[Proven], Field(min_length=1)]


class Validation(Document):
    """report.json of the data validation."""

    valid: bool
    problems: list[str]
    warnings: list[str] = []


class Subject(Document):
    """Which model a document is about."""

    model_digest: Digest


class Measured(Subject):
    """What every statistical check needs of evaluation.json."""

    examples: Some
    confidence: float


class Leakage(Document):
    """Test images that the model, or a version that it started from, was made with."""

    leaked: Count


class SkewPart(Document):
    """Training input path against serving path."""

    images: Count
    agreement: Share

    @model_validator(mode="after")
    def _is_a_share(self) -> Self:
        if self.images:
            right_of(self.agreement, self.images)
        return self


class Skew(Document):
    """The part of evaluation.json that holds it."""

    skew: SkewPart


def right_of(share: float, examples: int) -> int:
    """The count behind a share; ValueError where no count gives it."""
    right = round(share * examples)
    if abs(right / examples - share) > 1e-9:
        raise ValueError(f"{share} is no share of {examples} examples")
    return right


class Rated(Document):
    """An accuracy, and through it the number of examples that are right."""

    examples: Some
    accuracy: ShareInterval

    @model_validator(mode="after")
    def _is_a_share(self) -> Self:
        right_of(self.accuracy.value, self.examples)
        return self


class Accuracy(Measured, Rated):
    """The accuracy on all test images."""


class Class(Document):
    """A class's row."""

    label: str
    examples: Count
    recall: ShareInterval | None

    @model_validator(mode="after")
    def _is_a_share(self) -> Self:
        if (self.recall is None) != (self.examples == 0):
            raise ValueError("a recall belongs to a class with examples, and to no other")
        if self.recall is not None:
            right_of(self.recall.value, self.examples)
        return self


class Classes(Measured):
    """All classes; their examples are the test images."""

    per_class: Annotated[list[Class], Field(min_length=1)]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if sum(one.examples for one in self.per_class) != self.examples:
            raise ValueError("the examples of the classes do not sum to examples")
        return self


class Slice(Rated):
    """A metadata slice's row."""

    column: str
    value: str


class Slices(Measured):
    """All metadata slices."""

    slices: list[Slice]


class Comparable(Document):
    """Whether there is a comparison."""

    comparable: bool
    reason: str = ""


class Pairs(Document):
    """The four counts of a paired comparison."""

    examples: Some
    both_right: Count
    only_challenger_right: Count
    only_champion_right: Count
    both_wrong: Count

    @model_validator(mode="after")
    def _sum(self) -> Self:
        disagreed = self.only_challenger_right + self.only_champion_right
        if self.both_right + disagreed + self.both_wrong != self.examples:
            raise ValueError("the four counts do not sum to examples")
        return self

    @property
    def gain(self) -> float:
        """Challenger's accuracy minus the champion's, -1..1."""
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
            raise ValueError("the difference is not that of the counts")
        if self.made_with > self.excluded:
            raise ValueError("made_with is a part of excluded")
        return self


class PairedSlice(Pairs):
    """The comparison on a class or a metadata slice."""

    column: str
    value: str


class ChampionSlices(Document):
    """The part of a champion's comparison that holds them."""

    slices: list[PairedSlice]


class Evaluation(Accuracy):
    """All that is held against each other."""

    labels: Annotated[list[str], Field(min_length=2)]
    per_class: list[Class]
    confusion: list[list[Count]]
    slices: list[Slice]
    skew: SkewPart
    champion: Json | None


class CalibrationError(ShareInterval):
    """With the one-sided bound that decides."""

    at_most: Share

    @model_validator(mode="after")
    def _is_above(self) -> Self:
        if self.at_most < self.value:
            raise ValueError("at_most lies below value")
        return self


class Calibration(Measured):
    """The expected calibration error."""

    calibration_error: CalibrationError


class Latency(Document):
    """Of calls of one size, in milliseconds."""

    batch: Some
    p95: Annotated[float, Field(ge=0.0)]


class ServingTimes(Document):
    """The part of `serving` that the latency check reads."""

    latency: list[Latency]


class ServingSize(Document):
    """The part of `serving` that the size check reads."""

    size_bytes: Count


def part(evidence: Evidence, key: str) -> Any:
    """A part of a document that must be there, whatever it is: null counts."""
    whole = document(evidence)
    if key not in whole:
        raise UnusableError(f"evaluation.json: {key}: is missing")
    return whole[key]


def require_confidence(measured: Measured, config: GateConfig) -> None:
    """Raise UnusableError where the intervals are of another level than the one that decides."""
    if abs(measured.confidence - config.confidence) > 1e-9:
        raise UnusableError(
            f"evaluation.json: confidence: received {measured.confidence:g}; "
            f"the gate asks for {config.confidence:g}, so evaluate again"
        )
