"""Notes on a decision: what its reader should know although no check depends on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field

from frostline.gating.config import GateConfig
from frostline.gating.evidence import Count, Evidence, Required
from frostline.text import listed

_FEW = 30  # test images of a class or slice; with fewer, the interval of a rate is about 20 points wide or more


class _Split(Required):
    promotions: Count


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


def notes(evaluation: Evidence, config: GateConfig) -> list[str]:
    """Sentences without a full stop, from the parts of the evidence that can be read; raises nothing.

    Args:
        evaluation: evaluation.json, or the reason why it cannot be read.
        config: for the confidence level.
    """
    parts: list[Callable[[], list[str]]] = [
        lambda: _reuse(_TestSplit.of(evaluation).test_split.promotions, config.confidence),
        lambda: _few(_Groups.of(evaluation)),
        lambda: _no_slices(_LeftOut.of(evaluation).columns_left_out),
        lambda: _left_out(_Compared.of(evaluation).champion),
    ]
    found: list[str] = []
    for one in parts:
        try:
            found += one()
        except Exception:  # a note decides nothing; the checks report evidence that cannot be read
            found.append("some notes are missing, because a part of evaluation.json cannot be read")
    return list(dict.fromkeys(found))


def _reuse(promotions: int, confidence: float) -> list[str]:
    """Models were selected on this split before, so the probabilities of error add up."""
    if not promotions:
        return []
    together = 1 - confidence ** (promotions + 1)
    times = "1 promotion was" if promotions == 1 else f"{promotions:,} promotions were"
    return [
        f"{times} decided on exactly this test split before (models that were held are not counted); reusing a "
        f"test split raises the false-promotion rate: up to {100 * (1 - confidence):.3g} % per decision at confidence "
        f"{confidence:g}, up to {100 * together:.3g} % in total with this decision"
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
