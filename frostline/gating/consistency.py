"""The check that the parts of an evaluation agree: one that contradicts itself proves nothing, whatever it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from frostline.artifacts import Json
from frostline.data.metadata import CLASSES
from frostline.gating import evidence as needs
from frostline.gating.evidence import Evidence, UnusableError, document, right_of
from frostline.gating.result import Result


def evidence(evaluation: Evidence) -> Result:
    """Accuracy, classes, confusion matrix, slices, the comparison and the skew tell of the same predictions."""
    whole = document(evaluation)
    found = needs.Evaluation.model_validate(whole)
    right = right_of(found.accuracy.value, found.examples)
    _classes(found, right)
    keys = [(one.column, one.value) for one in found.slices]
    _require(len(set(keys)) == len(keys), "slices: one stands there twice")
    _within("slices: the examples of a column", keys, [one.examples for one in found.slices], found.examples)
    rights = [right_of(one.accuracy.value, one.examples) for one in found.slices]
    _within("slices: the right examples of a column", keys, rights, right)
    _require(found.skew.images <= found.examples, "skew: it was measured on more images than there are")
    if found.champion is not None and needs.Comparable.model_validate(found.champion).comparable:
        _pairs(found.champion, found, right)
    return Result("pass", "the parts of the evaluation agree")


def _classes(found: needs.Evaluation, right: int) -> None:
    _require(len(set(found.labels)) == len(found.labels), "labels: one stands there twice")
    _require([one.label for one in found.per_class] == found.labels, "per_class: is not about labels")
    sizes = [one.examples for one in found.per_class]
    rights = [right_of(one.recall.value, one.examples) if one.recall else 0 for one in found.per_class]
    _require(sum(sizes) == found.examples, "per_class: its examples do not sum to examples")
    _require(sum(rights) == right, "per_class: its recalls do not give the accuracy")
    _require([len(row) for row in found.confusion] == [len(sizes)] * len(sizes), "confusion: is not labels by labels")
    _require([sum(row) for row in found.confusion] == sizes, "confusion: its rows are not the classes of per_class")
    diagonal = [row[number] for number, row in enumerate(found.confusion)]
    _require(diagonal == rights, "confusion: its diagonal does not give the recalls")


def _pairs(champion: Json, found: needs.Evaluation, right: int) -> None:
    pairs = needs.Champion.model_validate(champion)
    ours = pairs.both_right + pairs.only_challenger_right
    _require(
        pairs.examples + pairs.excluded == found.examples, "champion: compared and excluded do not sum to examples"
    )
    _require(ours == right or (pairs.excluded > 0 and ours < right), "champion: it tells of another accuracy")
    if pairs.model_digest == found.model_digest:
        same = pairs.only_challenger_right == pairs.only_champion_right == 0
        _require(same, "champion: the same model disagrees with itself")
    unknown = sum(one.examples for one in found.per_class if one.label in pairs.new_labels)
    _require(unknown <= pairs.excluded, "champion: images of labels that it does not know were compared")
    slices = needs.ChampionSlices.model_validate(champion).slices
    keys = [(one.column, one.value) for one in slices]
    _require(len(set(keys)) == len(keys), "champion.slices: one stands there twice")
    counts = [(one.examples, one.only_challenger_right, one.only_champion_right) for one in slices]
    whole = (pairs.examples, pairs.only_challenger_right, pairs.only_champion_right)
    for number, name in enumerate(("examples", "gains", "losses")):
        part = [one[number] for one in counts]
        _within(f"champion.slices: the {name} of a column", keys, part, whole[number])
        of_classes = sum(one for one, key in zip(part, keys, strict=True) if key[0] == CLASSES)
        _require(of_classes == whole[number], f"champion.slices: the {name} of the classes are not those of all")


def _within(what: str, keys: Sequence[tuple[str, str]], numbers: Sequence[int], most: int) -> None:
    sums: Counter[str] = Counter()
    for (column, _), number in zip(keys, numbers, strict=True):
        sums[column] += number
    _require(all(total <= most for total in sums.values()), f"{what} are more than there are")


def _require(agrees: bool, reason: str) -> None:
    if not agrees:
        raise UnusableError(f"evaluation.json: {reason}")
