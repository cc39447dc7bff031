"""The check that the parts of an evaluation agree: one that contradicts itself proves nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from frostline.data.metadata import CLASSES
from frostline.gating import evidence, paired
from frostline.gating.evidence import Evidence, UnusableError, count_correct
from frostline.gating.result import Result


def consistency(evaluation: Evidence) -> Result:
    """Accuracy, classes, confusion matrix, slices, comparison and skew are about the same predictions."""
    found = evidence.Evaluation.of(evaluation)
    correct = count_correct(found.accuracy.value, found.examples)
    _check_classes(found, correct)
    keys = [(one.column, one.value) for one in found.slices]
    _require(len(set(keys)) == len(keys), "slices: one is listed twice")
    _require_within("slices: the examples of a column", keys, [one.examples for one in found.slices], found.examples)
    hits = [count_correct(one.accuracy.value, one.examples) for one in found.slices]
    _require_within("slices: the correct examples of a column", keys, hits, correct)
    _require(found.skew.images <= found.examples, "skew: it was measured on more images than there are")
    for name, against in (("champion", found.champion), ("reference", found.reference)):
        if against is not None and paired.Comparable.model_validate(against).comparable:
            _check_comparison(name, against, found, correct)
    _check_reference(found.champion, found.reference)
    return Result("pass", "the parts of the evaluation agree")


def _check_reference(champion: dict[str, Any] | None, reference: dict[str, Any] | None) -> None:
    if reference is None:
        return
    paired.Reference.model_validate(reference)
    if paired.is_same(champion, reference) and champion is not None:
        shared = {key: value for key, value in reference.items() if key not in paired.Reference.model_fields}
        _require(shared == champion, "reference: it is the champion, but its comparison is another one")


def _check_classes(found: evidence.Evaluation, correct: int) -> None:
    _require(len(set(found.labels)) == len(found.labels), "labels: one is listed twice")
    _require([one.label for one in found.per_class] == found.labels, "per_class: its labels are not those of labels")
    sizes = [one.examples for one in found.per_class]
    hits = [count_correct(one.recall.value, one.examples) if one.recall else 0 for one in found.per_class]
    _require(sum(sizes) == found.examples, "per_class: its examples do not sum to examples")
    _require(sum(hits) == correct, "per_class: its recalls do not give the accuracy")
    _require([len(row) for row in found.confusion] == [len(sizes)] * len(sizes), "confusion: is not labels by labels")
    _require([sum(row) for row in found.confusion] == sizes, "confusion: its rows do not sum to the examples per class")
    diagonal = [row[number] for number, row in enumerate(found.confusion)]
    _require(diagonal == hits, "confusion: its diagonal does not give the recalls")


def _check_comparison(name: str, champion: dict[str, Any], found: evidence.Evaluation, correct: int) -> None:
    pairs = paired.Champion.model_validate(champion)
    ours = pairs.both_right + pairs.only_challenger_right
    _require(pairs.examples + pairs.excluded == found.examples, f"{name}: compared and excluded do not sum to examples")
    _require(ours == correct or (pairs.excluded > 0 and ours < correct), f"{name}: it implies another accuracy")
    if pairs.model_digest == found.model_digest:
        same = pairs.only_challenger_right == pairs.only_champion_right == 0
        _require(same, f"{name}: the same model disagrees with itself")
    unknown = sum(one.examples for one in found.per_class if one.label in pairs.new_labels)
    _require(unknown <= pairs.excluded, f"{name}: images with labels that it lacks were compared")
    slices = paired.ChampionSlices.model_validate(champion).slices
    keys = [(one.column, one.value) for one in slices]
    _require(len(set(keys)) == len(keys), f"{name}.slices: one is listed twice")
    counts = [(one.examples, one.only_challenger_right, one.only_champion_right) for one in slices]
    whole = (pairs.examples, pairs.only_challenger_right, pairs.only_champion_right)
    for number, what in enumerate(("examples", "gains", "losses")):
        parts = [one[number] for one in counts]
        _require_within(f"{name}.slices: the {what} of a column", keys, parts, whole[number])
        of_classes = sum(one for one, key in zip(parts, keys, strict=True) if key[0] == CLASSES)
        _require(of_classes == whole[number], f"{name}.slices: the {what} of the classes do not sum to the whole")


def _require_within(what: str, keys: Sequence[tuple[str, str]], numbers: Sequence[int], most: int) -> None:
    """The numbers of each column, summed, are at most the whole."""
    sums: Counter[str] = Counter()
    for (column, _), number in zip(keys, numbers, strict=True):
        sums[column] += number
    _require(all(total <= most for total in sums.values()), f"{what} sum to more than there are")


def _require(agrees: bool, reason: str) -> None:
    if not agrees:
        raise UnusableError(f"evaluation.json: {reason}")
