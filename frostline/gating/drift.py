"""The gate's comparison with the reference, which does not move with the champion.

A chain of models that are each "not worse than the champion by more than the margin" can lose any amount. So a model
must also be not worse than the reference by more than the drift margin. That is decided once per model on largely the
same test images, so the level of the test is divided by the number of decisions so far (Bonferroni), each counted by
the fraction of today's images that it used: all of them together err with a probability of at most 1 - confidence.
"""

from __future__ import annotations

import math

from frostline.evaluation import compare
from frostline.gating import paired
from frostline.gating.config import GateConfig
from frostline.gating.evidence import Evidence, Looks, Measured, part
from frostline.gating.result import NO_LIMIT, Result, images_needed, percent


def drift(evaluation: Evidence, config: GateConfig) -> Result:
    """The model is not worse than the reference by more than the drift margin."""
    if config.most_drift == 0.0:
        return NO_LIMIT
    limit = -config.most_drift
    if config.comparison == "superiority":
        return Result("pass", "only a better model replaces the champion, so it cannot drift", None, limit)
    champion = part(evaluation, "champion")
    if champion is not None and paired.is_same(champion, part(evaluation, "reference")):
        return Result("pass", "the champion is the reference", None, limit)
    found = paired.opponent(evaluation, config, "reference")
    if isinstance(found, Result):
        return found
    decisions = _decisions(evaluation)
    verdict, conclusion = paired.non_inferiority(
        found, config.most_drift, 1 - (1 - config.confidence) / decisions, "the drift margin"
    )
    needed = None
    if verdict == "inconclusive":
        needed = _needed(evaluation, found, config, decisions)
    reason = f"{paired.counts(found, 'the reference')}, {conclusion}{_together(decisions, config)}"
    return Result(verdict, reason + images_needed(verdict, needed), found.gain, limit, needed)


def _decisions(evaluation: Evidence) -> float:
    """This decision, and the earlier ones against the same reference."""
    return 1.0 + Looks.model_validate(part(evaluation, "test_split")).reference_looks


def _together(decisions: float, config: GateConfig) -> str:
    if decisions <= 1.0:
        return ""
    return f" (so {percent(config.confidence)} for all {decisions:.4g} decisions on these images together)"


def _needed(evaluation: Evidence, found: paired.Champion, config: GateConfig, decisions: float) -> int | None:
    wins, losses = found.only_challenger_right, found.only_champion_right
    confidence = 1 - (1 - config.confidence) / decisions
    needed = compare.examples_needed(wins, losses, found.examples, confidence, config.most_drift)
    return None if needed is None else math.ceil(needed * Measured.of(evaluation).examples / found.examples)


def becomes_reference(evaluation: Evidence, config: GateConfig) -> bool:
    """Whether the model, once it is the champion, is the reference: it is the first, or shown to be better.

    By McNemar's exact test, with the same correction for earlier decisions. A reference that a person pinned stays.
    """
    try:
        if part(evaluation, "champion") is None:
            return True
        found = paired.opponent(evaluation, config, "reference")
        if isinstance(found, Result) or paired.Reference.model_validate(part(evaluation, "reference")).pinned:
            return False
        better = compare.mcnemar(found.only_challenger_right, found.only_champion_right)
        return better <= (1 - config.confidence) / _decisions(evaluation)
    except Exception:  # the checks report evidence that cannot be used
        return False
