"""What a reader of a decision should know and no check decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from frostline.gate_config import GateConfig
from frostline.gating.documents import Count, Document, Evidence
from frostline.gating.result import named

_FEW = 10  # test images of a class


class _Split(Document):
    promotions: Count


class _TestSplit(Document):
    test_split: _Split


class _Class(Document):
    label: str
    examples: Count


class _PerClass(Document):
    per_class: list[_Class]


class _Pairing(Document):
    excluded: Count = 0
    new_labels: list[str] | None = None


class _Compared(Document):
    champion: _Pairing | None


def notes(evaluation: Evidence, config: GateConfig, verdict: str) -> list[str]:
    """Sentences without a full stop, from whatever of the evidence can be read; it raises nothing.

    Args:
        evaluation: what `evaluate` wrote, or why it cannot be read.
        config: the confidence, and whether approval is required.
        verdict: of the decision.
    """
    parts: list[Callable[[], list[str]]] = [
        lambda: _reuse(_TestSplit.model_validate(evaluation).test_split.promotions, config.confidence),
        lambda: _few(_PerClass.model_validate(evaluation).per_class),
        lambda: _left_out(_Compared.model_validate(evaluation).champion),
    ]
    found: list[str] = []
    for one in parts:
        try:
            found += one()
        except Exception:  # a note decides nothing: evidence that cannot be read is told by the checks
            found.append("a part of evaluation.json that notes are made from cannot be read")
    if config.approval == "required" and verdict == "promote":
        found.append("a person's approval is required before the model serves")
    return list(dict.fromkeys(found))


def _reuse(promotions: int, confidence: float) -> list[str]:
    """A split that has decided before is a split that models were chosen by: errors add up."""
    if not promotions:
        return []
    together = 1 - confidence ** (promotions + 1)
    times = "1 promotion" if promotions == 1 else f"{promotions:,} promotions"
    return [
        f"this test split has already decided {times}; each decision at confidence {confidence:g} adds up to "
        f"{100 * (1 - confidence):.3g} % false promotions: together up to {100 * together:.3g} %"
    ]


def _few(classes: Sequence[_Class]) -> list[str]:
    names = [f"{one.label} ({one.examples})" for one in classes if one.examples < _FEW]
    return [f"fewer than {_FEW} test images, too few to say much of: {named(names)}"] if names else []


def _left_out(compared: _Pairing | None) -> list[str]:
    found = []
    if compared is not None and compared.excluded:
        images = "1 test image is" if compared.excluded == 1 else f"{compared.excluded:,} test images are"
        found.append(
            f"{images} left out of the comparison: the champion was made with them, or does not know their label"
        )
    if compared is not None and compared.new_labels:
        found.append(f"the champion does not know {named(compared.new_labels)}: nothing is compared there")
    return found
