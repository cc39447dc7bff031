"""The gate's floors: the accuracy, every class's recall, every metadata slice's accuracy.

A floor is reached, or missed, where an exact binomial test says so at the configured confidence: so a model below the
floor passes with a probability of at most 1 - confidence. "Every class reaches it" needs no correction, as it is wrong
only if the weakest class's test is (R. L. Berger, "Multiparameter hypothesis testing and acceptance sampling",
Technometrics 24, 1982, 295-300); "some class misses it" is Bonferroni-corrected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from frostline.evaluation.compare import POWER
from frostline.evaluation.intervals import binomial_tail
from frostline.gating import evidence as needs
from frostline.gating.config import GateConfig
from frostline.gating.evidence import Evidence, document, require_confidence, right_of
from frostline.gating.result import NO_LIMIT, Outcome, Result, share, would_tell
from frostline.text import listed


def accuracy(evaluation: Evidence, config: GateConfig) -> Result:
    """The accuracy reaches its floor."""
    if config.min_accuracy == 0.0:
        return NO_LIMIT
    measured = needs.Accuracy.model_validate(document(evaluation))
    require_confidence(measured, config)
    found, floor = measured.accuracy, config.min_accuracy
    group = Group("accuracy", right_of(found.value, measured.examples), measured.examples)
    verdict = _against_floor(group, floor, config, 1)
    told = {"fail": "below", "pass": "at or above", "inconclusive": "not surely above or below"}[verdict]
    sure = f"at {100 * config.confidence:g} % confidence"
    bound = (
        f"at most {share(_most(group, config))}" if verdict == "fail" else f"at least {share(_least(group, config))}"
    )
    reason = f"{_right(group)} are right, {share(found.value)}, {bound} {sure}: {told} the floor of {share(floor)}"
    needed = _examples_for_floor(group, floor, config) if verdict == "inconclusive" else None
    return Result(verdict, reason + would_tell(verdict, needed), found.value, floor, needed)


def classes(evaluation: Evidence, config: GateConfig) -> Result:
    """Every class's recall reaches its floor; a class without examples does not."""
    if config.min_class_recall == 0.0:
        return NO_LIMIT
    measured = needs.Classes.model_validate(document(evaluation))
    require_confidence(measured, config)
    absent = [one.label for one in measured.per_class if one.recall is None]
    if absent:
        reason = f"no test image of {listed(absent)}, so the floor of the recall cannot be shown"
        return Result("fail", reason, None, config.min_class_recall)
    groups = [
        Group(one.label, right_of(one.recall.value, one.examples), one.examples)
        for one in measured.per_class
        if one.recall is not None
    ]
    return _floors(groups, config.min_class_recall, measured.examples, config, "recall", of="classes")


def slices(evaluation: Evidence, config: GateConfig) -> Result:
    """Every metadata slice's accuracy reaches its floor, of the slices that are large enough to show it."""
    if config.min_slice_accuracy == 0.0:
        return NO_LIMIT
    measured = needs.Slices.model_validate(document(evaluation))
    require_confidence(measured, config)
    groups = [
        Group(f"{one.column} = {one.value}", right_of(one.accuracy.value, one.examples), one.examples)
        for one in measured.slices
    ]
    if not groups:
        reason = "no test image has metadata, so the floor of the slices cannot be shown"
        return Result("fail", reason, None, config.min_slice_accuracy)
    return _floors(groups, config.min_slice_accuracy, measured.examples, config, "accuracy", of="slices")


@dataclass(frozen=True)
class Group:
    """Examples of which some are right."""

    name: str
    right: int
    examples: int

    @property
    def share(self) -> float:
        """Of the examples, those that are right."""
        return self.right / self.examples


def _against_floor(group: Group, floor: float, config: GateConfig, tests: int) -> Outcome:
    """By exact binomial tests: whether so many right, or so few, would be a surprise at the floor."""
    surprise = 1 - config.confidence
    if binomial_tail(group.right, group.examples, floor) <= surprise:
        return "pass"
    if binomial_tail(group.examples - group.right, group.examples, 1 - floor) <= surprise / tests:
        return "fail"
    return "inconclusive"


def _least(group: Group, config: GateConfig) -> float:
    """The lowest share that the test does not rule out: Clopper and Pearson's one-sided bound, by bisection."""
    low, high = 0.0, group.share
    for _ in range(40):
        middle = (low + high) / 2
        if binomial_tail(group.right, group.examples, middle) <= 1 - config.confidence:
            low = middle
        else:
            high = middle
    return low


def _most(group: Group, config: GateConfig) -> float:
    wrong = Group(group.name, group.examples - group.right, group.examples)
    return 1.0 - _least(wrong, config)


def _floors(groups: Sequence[Group], floor: float, total: int, config: GateConfig, measure: str, *, of: str) -> Result:
    """All groups against one floor; slices that could not pass if all were right are counted, and decide nothing."""
    verdicts = [(group, _against_floor(group, floor, config, len(groups))) for group in groups]
    failed = [group for group, verdict in verdicts if verdict == "fail"]
    unsure = [group for group, verdict in verdicts if verdict == "inconclusive"]
    small = [one for one in unsure if of == "slices" and floor**one.examples > 1 - config.confidence]
    if len(small) == len(groups):  # where none is large enough nothing is shown
        small = []
    unsure = [one for one in unsure if one not in small]
    lowest = min(failed or unsure or groups, key=lambda group: group.share)
    about = f"the floor of {share(floor)}"
    aside = f"; {len(small)} of {len(groups)} {of} are too small to tell" if small else ""
    if failed:
        names = listed([f"{group.name} ({group.right} of {group.examples})" for group in failed])
        return Result("fail", f"{measure} surely below {about}: {names}{aside}", lowest.share, floor)
    if unsure:
        each = [_examples_for_floor(group, floor, config) for group in unsure]
        scaled = [n and math.ceil(n * total / group.examples) for n, group in zip(each, unsure, strict=True)]
        needed = None if None in scaled else max(n for n in scaled if n is not None)
        names = listed([f"{group.name} ({group.right} of {group.examples})" for group in unsure])
        reason = f"{measure} not surely above or below {about}: {names}{aside}"
        return Result("inconclusive", reason + would_tell("inconclusive", needed), lowest.share, floor, needed)
    large = [group for group in groups if group not in small]
    lowest = min(large, key=lambda group: group.share)
    of_them = f"all {len(large)} {of}" + (" that are large enough to tell" if small else "")
    reason = f"{measure} at or above {about} for {of_them}; lowest: {lowest.name}, {_right(lowest)}{aside}"
    return Result("pass", reason, lowest.share, floor)


def _examples_for_floor(group: Group, floor: float, config: GateConfig) -> int | None:
    """About how many examples show the floor reached at 80 % power, if the share stays as seen; None: no number.

    Source: J. L. Fleiss, "Statistical methods for rates and proportions", 2nd edition, 1981, section 1.4, with its
    correction for continuity.
    """
    distance = group.share - floor
    if distance <= 0.0:
        return None
    normal = NormalDist()
    root = normal.inv_cdf(config.confidence) * math.sqrt(floor * (1 - floor))
    root += normal.inv_cdf(POWER) * math.sqrt(group.share * (1 - group.share))
    return max(group.examples + 1, math.ceil((root / distance) ** 2 + 1 / distance))


def _right(group: Group) -> str:
    return f"{group.right:,} of {group.examples:,} test images"
