"""What a reader of a decision should know and no check decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field

from frostline.gating.config import GateConfig
from frostline.gating.evidence import Count, Document, Evidence
from frostline.text import listed

_FEW = 30  # test images of a class or slice: the interval of a share is then some 20 points wide or more


class _Split(Document):
    promotions: Count


class _TestSplit(Document):
    test_split: _Split


class _Class(Document):
    label: str
    examples: Count


class _Slice(Document):
    column: str
    value: str
    examples: Count


class _Groups(Document):
    per_class: list[_Class]
    slices: list[_Slice]


class _LeftOut(Document):
    columns_left_out: tuple[str, ...] = Field((), strict=False)


class _Pairing(Document):
    excluded: Count = 0
    made_with: Count = 0
    new_labels: list[str] | None = None


class _Compared(Document):
    champion: _Pairing | None


def notes(evaluation: Evidence, config: GateConfig) -> list[str]:
    """Sentences without a full stop, from whatever of the evidence can be read; it raises nothing.

    Args:
        evaluation: what `evaluate` wrote, or why it cannot be read.
        config: the confidence.
    """
    parts: list[Callable[[], list[str]]] = [
        lambda: _reuse(_TestSplit.model_validate(evaluation).test_split.promotions, config.confidence),
        lambda: _few(_Groups.model_validate(evaluation)),
        lambda: _no_slices(_LeftOut.model_validate(evaluation).columns_left_out),
        lambda: _left_out(_Compared.model_validate(evaluation).champion),
    ]
    found: list[str] = []
    for one in parts:
        try:
            found += one()
        except Exception:  # a note decides nothing: evidence that cannot be read is told by the checks
            found.append("a part of evaluation.json that notes are made from cannot be read")
    return list(dict.fromkeys(found))


def _reuse(promotions: int, confidence: float) -> list[str]:
    """A split that has decided before is a split that models were chosen by: errors add up."""
    if not promotions:
        return []
    together = 1 - confidence ** (promotions + 1)
    times = "1 promotion" if promotions == 1 else f"{promotions:,} promotions"
    return [
        f"exactly this test split has already decided {times} (models that were held are not counted); each decision "
        f"at confidence {confidence:g} adds up to {100 * (1 - confidence):.3g} % false promotions: together up to "
        f"{100 * together:.3g} %"
    ]


def _few(groups: _Groups) -> list[str]:
    names = [f"{one.label} ({one.examples})" for one in groups.per_class if one.examples < _FEW]
    names += [f"{one.column} = {one.value} ({one.examples})" for one in groups.slices if one.examples < _FEW]
    return [f"fewer than {_FEW} test images, so only rough numbers: {listed(names)}"] if names else []


def _no_slices(columns: Sequence[str]) -> list[str]:
    return [f"no slices are made of {listed(columns)}: too many different values"] if columns else []


def _left_out(compared: _Pairing | None) -> list[str]:
    found = []
    if compared is not None and compared.excluded:
        images = "1 test image is" if compared.excluded == 1 else f"{compared.excluded:,} test images are"
        unknown = compared.excluded - compared.made_with
        found.append(
            f"{images} left out of the comparison: the champion was made with {compared.made_with:,}, and does not "
            f"know the label of {unknown:,}"
        )
    if compared is not None and compared.new_labels:
        found.append(f"the champion does not know {listed(compared.new_labels)}: nothing is compared there")
    return found
