"""Notes on a decision: what its reader should know although no check depends on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field

from frostline.gating.config import GateConfig
from frostline.gating.evidence import Count, Evidence, Required
from frostline.text import listed

_FEW = 30  # test images of a class or slice; with fewer, the interval of a rate is about 20 points wide or more


class _Split(Required):
    promotions: Count = 0
    attempts: Count | None = None  # evaluations made before attempts were recorded have the promotions alone
    held: Count = 0
    looks: Annotated[float, Field(ge=0.0, le=1e9)] | None = None


class _TestSplit(Required):
    test_split: _Split


class _Class(Required):
    label: str
    examples: Count


class _Slice(Required):
    column: str
    value: str
    examples: Count


class _Groups(Required):
    per_class: list[_Class]
    slices: list[_Slice]


class _LeftOut(Required):
    columns_left_out: tuple[str, ...] = Field((), strict=False)


class _Pairing(Required):
    excluded: Count = 0
    made_with: Count = 0
    new_labels: list[str] | None = None


class _Compared(Required):
    champion: _Pairing | None


class _Reference(Required):
    version: int
    stored: bool = False
    replaces: str = ""


class _Referred(Required):
    reference: _Reference | None = None


def notes(evaluation: Evidence, config: GateConfig) -> list[str]:
    """Sentences without a full stop, from the parts of the evidence that can be read; raises nothing.

    Args:
        evaluation: evaluation.json, or the reason why it cannot be read.
        config: for the confidence level.
    """
    parts: list[Callable[[], list[str]]] = [
        lambda: _reuse(_TestSplit.of(evaluation).test_split, config.confidence),
        lambda: _few(_Groups.of(evaluation)),
        lambda: _no_slices(_LeftOut.of(evaluation).columns_left_out),
        lambda: _left_out(_Compared.of(evaluation).champion),
        lambda: _reference(_Referred.of(evaluation).reference),
    ]
    found: list[str] = []
    for one in parts:
        try:
            found += one()
        except Exception:  # a note decides nothing; the checks report evidence that cannot be read
            found.append("some notes are missing, because a part of evaluation.json cannot be read")
    return list(dict.fromkeys(found))


def _reuse(split: _Split, confidence: float) -> list[str]:
    """Models were selected on these images before, so the probabilities of error add up, whatever their dependence."""
    attempts = split.promotions if split.attempts is None else split.attempts
    looks = attempts if split.looks is None else split.looks
    if not looks:
        return []
    error = 1 - confidence
    times = "1 earlier decision" if attempts == 1 else f"{attempts:,} earlier decisions"
    counted = "" if looks == attempts else f", which counts as {looks:.3g} by their overlap"
    return [
        f"{times} used these test images or some of them ({split.held:,} held){counted}; reuse raises the "
        f"false-promotion rate: up to {100 * error:.3g} % per decision at confidence {confidence:g}, up to "
        f"{100 * min(1.0, (1 + looks) * error):.3g} % for at least one of the chain; new test images lower it"
    ]


def _few(groups: _Groups) -> list[str]:
    names = [f"{one.label} ({one.examples})" for one in groups.per_class if one.examples < _FEW]
    names += [f"{one.column} = {one.value} ({one.examples})" for one in groups.slices if one.examples < _FEW]
    return [f"fewer than {_FEW} test images, so the numbers are rough: {listed(names)}"] if names else []


def _no_slices(columns: Sequence[str]) -> list[str]:
    return [f"no slices for {listed(columns)}: too many different values"] if columns else []


def _left_out(compared: _Pairing | None) -> list[str]:
    found = []
    if compared is not None and compared.excluded:
        images = "1 test image is" if compared.excluded == 1 else f"{compared.excluded:,} test images are"
        unknown = compared.excluded - compared.made_with
        found.append(
            f"{images} left out of the comparison: the champion was trained or validated on {compared.made_with:,} and "
            f"lacks the label of {unknown:,}"
        )
    if compared is not None and compared.new_labels:
        found.append(f"not compared, because the champion lacks these labels: {listed(compared.new_labels)}")
    return found


def _reference(found: _Reference | None) -> list[str]:
    if found is None:
        return []
    notes = [found.replaces] if found.replaces else []
    if found.stored:
        notes.append(
            f"the files of the reference, version {found.version}, are gone; its stored predictions were compared"
        )
    return notes
