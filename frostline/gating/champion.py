"""The gate's comparison with the champion as a whole."""

from __future__ import annotations

import math

from frostline.evaluation import compare
from frostline.gating import evidence, paired
from frostline.gating.config import GateConfig
from frostline.gating.evidence import Evidence, UnusableError
from frostline.gating.result import Outcome, Result, images_needed


def champion(evaluation: Evidence, config: GateConfig) -> Result:
    """The model is better than the champion, or not worse by more than the margin."""
    found = paired.opponent(evaluation, config, "champion")
    if isinstance(found, Result):
        return found
    measured = evidence.Measured.of(evaluation)
    if found.examples + found.excluded != measured.examples:
        raise UnusableError(
            f"evaluation.json: champion: received {found.examples} examples and {found.excluded} excluded; expected "
            f"{measured.examples} in total, the examples that the model was evaluated on"
        )
    wins, losses, n = found.only_challenger_right, found.only_champion_right, found.examples
    superiority = config.comparison == "superiority"
    verdict, conclusion = (
        _superiority(found, config)
        if superiority
        else paired.non_inferiority(found, config.margin, config.confidence, "the margin")
    )
    needed = None
    if verdict == "inconclusive":
        needed = compare.examples_needed(wins, losses, n, config.confidence, None if superiority else config.margin)
        needed = None if needed is None else math.ceil(needed * measured.examples / n)
    limit = 0.0 if superiority else -config.margin
    counts = paired.counts(found, "the champion")
    return Result(verdict, f"{counts}, {conclusion}{images_needed(verdict, needed)}", found.gain, limit, needed)


def _superiority(found: paired.Pairs, config: GateConfig) -> tuple[Outcome, str]:
    better = compare.mcnemar(found.only_challenger_right, found.only_champion_right)
    worse = compare.mcnemar(found.only_champion_right, found.only_challenger_right)
    if better <= 1 - config.confidence:
        return "pass", f"significantly better (exact McNemar test, one-sided p = {better:.2g})"
    if worse <= 1 - config.confidence:
        return "fail", f"significantly worse (exact McNemar test, one-sided p = {worse:.2g})"
    return "inconclusive", f"not shown to be better (exact McNemar test, one-sided p = {better:.2g})"
