"""The gate's floors: for the accuracy, the recall of every class, and the accuracy on every metadata slice.

A floor is reached, or missed, if an exact binomial test says so at the configured confidence. A model below the floor
therefore passes with a probability of at most 1 - confidence. "Every class reaches it" needs no correction, because it
is wrong only if the test of the weakest class is wrong (R. L. Berger, "Multiparameter hypothesis testing and acceptance
sampling", Technometrics 24, 1982, 295-300); "some class misses it" is corrected by Holm, each column by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from frostline.evaluation.compare import POWER
from frostline.evaluation.intervals import binomial_tail, exact_bounds
from frostline.gating import evidence
from frostline.gating.config import GateConfig
from frostline.gating.evidence import Evidence, count_correct, require_confidence
from frostline.gating.multiple import holm
from frostline.gating.result import NO_LIMIT, Outcome, Result, images_needed, percent
from frostline.text import listed


def accuracy(evaluation: Evidence, config: GateConfig) -> Result:
    """The accuracy reaches its floor."""
    if config.min_accuracy == 0.0:
        return NO_LIMIT
    measured = evidence.Accuracy.of(evaluation)
    require_confidence(measured, config)
    found, floor = measured.accuracy, config.min_accuracy
    group = Group("accuracy", count_correct(found.value, measured.examples), measured.examples)
    (verdict,) = _compare_with_floor([group], floor, config)
    conclusion = {"fail": "below", "pass": "at or above", "inconclusive": "not shown to be above or below"}[verdict]
    low, high = exact_bounds(group.correct, group.examples, config.confidence)
    bound = f"at most {percent(high)}" if verdict == "fail" else f"at least {percent(low)}"
    reason = (
        f"{_count(group)} are classified correctly, {percent(found.value)}, {bound} at {percent(config.confidence)} "
        f"confidence: {conclusion} the floor of {percent(floor)}"
    )
    needed = _examples_needed(group, floor, config) if verdict == "inconclusive" else None
    return Result(verdict, reason + images_needed(verdict, needed), found.value, floor, needed)


def classes(evaluation: Evidence, config: GateConfig) -> Result:
    """The recall of every class reaches its floor; a class without examples does not."""
    if config.min_class_recall == 0.0:
        return NO_LIMIT
    measured = evidence.Classes.of(evaluation)
    require_confidence(measured, config)
    absent = [one.label for one in measured.per_class if one.recall is None]
    if absent:
        reason = f"there is no test image of {listed(absent)}, so the recall cannot be shown to reach its floor"
        return Result("fail", reason, None, config.min_class_recall)
    groups = [
        Group(one.label, count_correct(one.recall.value, one.examples), one.examples)
        for one in measured.per_class
        if one.recall is not None
    ]
    return _compare_all([groups], config.min_class_recall, measured.examples, config, "classes")


def slices(evaluation: Evidence, config: GateConfig) -> Result:
    """The accuracy on every metadata slice that is large enough reaches its floor."""
    if config.min_slice_accuracy == 0.0:
        return NO_LIMIT
    measured = evidence.Slices.of(evaluation)
    require_confidence(measured, config)
    if not measured.slices:
        reason = "no test image has metadata, so the accuracy on slices cannot be shown to reach its floor"
        return Result("fail", reason, None, config.min_slice_accuracy)
    columns: dict[str, list[Group]] = {}
    for one in measured.slices:
        correct = count_correct(one.accuracy.value, one.examples)
        columns.setdefault(one.column, []).append(Group(f"{one.column} = {one.value}", correct, one.examples))
    return _compare_all(list(columns.values()), config.min_slice_accuracy, measured.examples, config, "slices")


@dataclass(frozen=True)
class Group:
    """A number of examples, and how many of them are classified correctly."""

    name: str
    correct: int
    examples: int

    @property
    def rate(self) -> float:
        """The fraction of correct examples, 0..1."""
        return self.correct / self.examples


def _compare_with_floor(groups: Sequence[Group], floor: float, config: GateConfig) -> list[Outcome]:
    """By exact binomial tests: how probable are so many, or so few, correct examples at the floor?"""
    error = 1 - config.confidence
    missed = holm([binomial_tail(one.examples - one.correct, one.examples, 1 - floor) for one in groups], error)
    reached = [binomial_tail(one.correct, one.examples, floor) <= error for one in groups]
    return [
        "pass" if above else "fail" if below else "inconclusive" for above, below in zip(reached, missed, strict=True)
    ]


def _compare_all(
    families: Sequence[Sequence[Group]],
    floor: float,
    total: int,
    config: GateConfig,
    kind: Literal["classes", "slices"],
) -> Result:
    """All groups against one floor; slices too small to pass even if all is correct are counted but ignored."""
    measure = {"classes": "recall", "slices": "accuracy"}[kind]
    groups = [group for family in families for group in family]
    outcomes = [outcome for family in families for outcome in _compare_with_floor(family, floor, config)]
    verdicts = list(zip(groups, outcomes, strict=True))
    failed = [group for group, verdict in verdicts if verdict == "fail"]
    open_ = [group for group, verdict in verdicts if verdict == "inconclusive"]
    small = [one for one in open_ if kind == "slices" and floor**one.examples > 1 - config.confidence]
    if len(small) == len(groups):  # if no slice is large enough, nothing is shown
        small = []
    unsure = [one for one in open_ if one not in small]
    lowest = min(failed or unsure or groups, key=lambda group: group.rate)
    the_floor = f"the floor of {percent(floor)}"
    aside = f"; {len(small)} of {len(groups)} {kind} are too small to decide" if small else ""
    if failed:
        reason = f"{measure} significantly below {the_floor}: {_list(failed)}{aside}"
        return Result("fail", reason, lowest.rate, floor)
    if unsure:
        each = [_examples_needed(group, floor, config) for group in unsure]
        scaled = [n and math.ceil(n * total / group.examples) for n, group in zip(each, unsure, strict=True)]
        needed = None if None in scaled else max(n for n in scaled if n is not None)
        reason = f"{measure} not shown to be above or below {the_floor}: {_list(unsure)}{aside}"
        return Result("inconclusive", reason + images_needed("inconclusive", needed), lowest.rate, floor, needed)
    large = [group for group in groups if group not in small]
    lowest = min(large, key=lambda group: group.rate)
    all_of_them = f"all {len(large)} {kind}" + (" that are large enough" if small else "")
    reason = f"{measure} at or above {the_floor} for {all_of_them}; lowest: {lowest.name}, {_count(lowest)}{aside}"
    return Result("pass", reason, lowest.rate, floor)


def _examples_needed(group: Group, floor: float, config: GateConfig) -> int | None:
    """About how many examples show the floor reached at 80 % power, if the rate stays the same; None: no number does.

    Source: J. L. Fleiss, "Statistical methods for rates and proportions", 2nd edition, 1981, section 1.4, with its
    correction for continuity.
    """
    distance = group.rate - floor
    if distance <= 0.0:
        return None
    normal = NormalDist()
    root = normal.inv_cdf(config.confidence) * math.sqrt(floor * (1 - floor))
    root += normal.inv_cdf(POWER) * math.sqrt(group.rate * (1 - group.rate))
    return max(group.examples + 1, math.ceil((root / distance) ** 2 + 1 / distance))


def _list(groups: Sequence[Group]) -> str:
    return listed([f"{group.name} ({group.correct} of {group.examples})" for group in groups])


def _count(group: Group) -> str:
    return f"{group.correct:,} of {group.examples:,} test images"
