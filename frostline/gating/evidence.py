"""The evidence that the gate decides on, and what its checks need of it: exact types, finite numbers, consistent parts.

Other keys are ignored. A derived number is not trusted if its parts are available: rates are converted back to counts.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from frostline.gating.config import GateConfig

Evidence = dict[str, Any] | str  # a document, or the reason why it cannot be read
Count = Annotated[int, Field(ge=0, le=10**9)]
PositiveCount = Annotated[int, Field(ge=1, le=10**9)]
Proportion = Annotated[float, Field(ge=0.0, le=1.0)]
Digest = Annotated[str, Field(min_length=1)]


class UnusableError(Exception):
    """Evidence that no check can rely on; the message is the reason."""


def content(evidence: Evidence) -> dict[str, Any]:
    """The document, or UnusableError with the reason why it cannot be read."""
    if isinstance(evidence, dict):
        return evidence
    raise UnusableError(str(evidence))


def part(evidence: Evidence, key: str) -> Any:
    """A part of the document that must be present; null is a value.

    Raises:
        UnusableError: the document cannot be read, or lacks the part.
    """
    whole = content(evidence)
    if key not in whole:
        raise UnusableError(f"evaluation.json: {key}: is missing")
    return whole[key]


class Required(BaseModel):
    """Base of what a check needs: immutable, strict about types, no infinities."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def of(cls, evidence: Evidence) -> Self:
        """What a check needs, from a document.

        Raises:
            UnusableError: the document cannot be read.
            ValidationError: something is missing, of another type, out of range or inconsistent.
        """
        return cls.model_validate(content(evidence))


class Interval(Required):
    """A number with its interval."""

    value: Annotated[float, Field(ge=-1.0, le=1.0)]
    low: Annotated[float, Field(ge=-1.0, le=1.0)]
    high: Annotated[float, Field(ge=-1.0, le=1.0)]

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError("low, value and high are not in this order")
        return self


class ProportionInterval(Interval):
    """An interval inside 0..1."""

    low: Proportion


class Proven(Required):
    """Whether the frozen tensors are unchanged, in one phase or in all."""

    verified: bool
    moved: list[str]


class Certificate(Proven):
    """freeze_certificate.json."""

    frozen_tensors: Count
    model_digest: Digest
    phases: Annotated[list[Proven], Field(min_length=1)]


class Validation(Required):
    """report.json of the data validation."""

    valid: bool
    problems: list[str]
    warnings: list[str] = []


class Subject(Required):
    """The model that a document is about."""

    model_digest: Digest


class Measured(Subject):
    """What every statistical check needs of evaluation.json."""

    examples: PositiveCount
    confidence: float


class Leakage(Required):
    """Test images that the model, or a version that it started from, was trained or validated on."""

    leaked: Count


class SkewPart(Required):
    """The training input path against the serving input path."""

    images: Count
    agreement: Proportion

    @model_validator(mode="after")
    def _is_a_proportion(self) -> Self:
        if self.images:
            count_correct(self.agreement, self.images)
        return self


class Skew(Required):
    """The part of evaluation.json with the skew."""

    skew: SkewPart


def count_correct(rate: float, examples: int) -> int:
    """The count behind a rate; ValueError if no count gives it."""
    count = round(rate * examples)
    if abs(count / examples - rate) > 1e-9:
        raise ValueError(f"{rate} is not a proportion of {examples} examples")
    return count


class Rated(Required):
    """An accuracy, and through it the number of correct examples."""

    examples: PositiveCount
    accuracy: ProportionInterval

    @model_validator(mode="after")
    def _is_a_proportion(self) -> Self:
        count_correct(self.accuracy.value, self.examples)
        return self


class Accuracy(Measured, Rated):
    """The accuracy on all test images."""


class Class(Required):
    """A row of per_class."""

    label: str
    examples: Count
    recall: ProportionInterval | None

    @model_validator(mode="after")
    def _is_a_proportion(self) -> Self:
        if (self.recall is None) != (self.examples == 0):
            raise ValueError("expected a recall if the class has examples, and null if it has none")
        if self.recall is not None:
            count_correct(self.recall.value, self.examples)
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
    """A row of slices."""

    column: str
    value: str


class Slices(Measured):
    """All metadata slices."""

    slices: list[Slice]


class Evaluation(Accuracy):
    """All parts that must be consistent with each other."""

    labels: Annotated[list[str], Field(min_length=2)]
    per_class: list[Class]
    confusion: list[list[Count]]
    slices: list[Slice]
    skew: SkewPart
    champion: dict[str, Any] | None
    reference: dict[str, Any] | None = None


class Looks(Required):
    """How many earlier decisions used the test images, each counted by the fraction of them that it used."""

    looks: Annotated[float, Field(ge=0.0, le=1e9)]
    reference_looks: Annotated[float, Field(ge=0.0, le=1e9)]

    @model_validator(mode="after")
    def _is_a_part(self) -> Self:
        if self.reference_looks > self.looks + 1e-9:
            raise ValueError("reference_looks is larger than looks")
        return self


class CalibrationError(ProportionInterval):
    """The error, with the one-sided bound that decides."""

    at_most: Proportion

    @model_validator(mode="after")
    def _is_a_bound(self) -> Self:
        if self.at_most < self.value:
            raise ValueError("at_most is less than value")
        return self


class Calibration(Measured):
    """The expected calibration error."""

    calibration_error: CalibrationError


class Latency(Required):
    """Of calls with `batch` images each, in milliseconds."""

    batch: PositiveCount
    p95: Annotated[float, Field(ge=0.0)]


class ServingTimes(Required):
    """The part of `serving` that the latency check needs."""

    latency: list[Latency]


class ServingSize(Required):
    """The part of `serving` that the size check needs."""

    size_bytes: Count


def require_confidence(measured: Measured, config: GateConfig) -> None:
    """Raise UnusableError if the intervals have another confidence level than the one that decides."""
    if abs(measured.confidence - config.confidence) > 1e-9:
        raise UnusableError(
            f"evaluation.json: confidence: received {measured.confidence:g}; "
            f"the gate needs {config.confidence:g}, so evaluate again"
        )
