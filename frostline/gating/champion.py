"""The gate's comparisons with the champion: as a whole, and on each class and metadata slice."""

from __future__ import annotations

import math

from frostline.evaluation import compare
from frostline.gating import evidence, paired
from frostline.gating.config import GateConfig
from frostline.gating.evidence import Evidence, UnusableError, part, require_confidence
from frostline.gating.result import UNCOMPARABLE, Outcome, Result, images_needed, percent, points
from frostline.text import listed


def champion(evaluation: Evidence, config: GateConfig) -> Result:
    """The model is better than the champion, or not worse by more than the margin."""
    found = _opponent(evaluation, config)
    if isinstance(found, Result):
        return found
    measured = evidence.Measured.of(evaluation)
    if found.examples + found.excluded != measured.examples:
        raise UnusableError(
            f"evaluation.json: champion: received {found.examples} examples and {found.excluded} excluded; expected "
            f"{measured.examples} in total, the examples that the model was evaluated on"
        )
    wins, losses, n = found.only_challenger_right, found.only_champion_right, found.examples
    counts = (
        f"of {n:,} images given to both, only this model is correct on {wins:,} and only the champion, version "
        f"{found.version}, on {losses:,}: {points(found.gain)}"
    )
    superiority = config.comparison == "superiority"
    verdict, conclusion = (_superiority if superiority else _non_inferiority)(found, config)
    needed = None
    if verdict == "inconclusive":
        needed = compare.examples_needed(wins, losses, n, config.confidence, None if superiority else config.margin)
        needed = None if needed is None else math.ceil(needed * measured.examples / n)
    limit = 0.0 if superiority else -config.margin
    return Result(verdict, f"{counts}, {conclusion}{images_needed(verdict, needed)}", found.gain, limit, needed)


def _superiority(found: paired.Pairs, config: GateConfig) -> tuple[Outcome, str]:
    better = compare.mcnemar(found.only_challenger_right, found.only_champion_right)
    worse = compare.mcnemar(found.only_champion_right, found.only_challenger_right)
    if better <= 1 - config.confidence:
        return "pass", f"significantly better (exact McNemar test, one-sided p = {better:.2g})"
    if worse <= 1 - config.confidence:
        return "fail", f"significantly worse (exact McNemar test, one-sided p = {worse:.2g})"
    return "inconclusive", f"not shown to be better (exact McNemar test, one-sided p = {better:.2g})"


def _non_inferiority(found: paired.Pairs, config: GateConfig) -> tuple[Outcome, str]:
    pairs = (found.only_challenger_right, found.only_champion_right, found.examples)
    low, high = compare.bounds(*pairs, config.confidence)
    margin, confidence = f"the margin of {100 * config.margin:g} points", f"at {percent(config.confidence)} confidence"
    if high < -config.margin:
        return "fail", f"at most {points(high)} {confidence}: worse by more than {margin}"
    if low >= -config.margin:
        return "pass", f"at least {points(low)} {confidence}: not worse by more than {margin}"
    seems = "seems" if found.gain < -config.margin else "may be"
    return (
        "inconclusive",
        f"between {points(low)} and {points(high)}, each bound {confidence}: it {seems} worse by more than {margin}",
    )


def slices(evaluation: Evidence, config: GateConfig) -> Result:
    """No class and no metadata slice is significantly worse than the champion's by more than the slice margin."""
    opponent = _opponent(evaluation, config)
    if isinstance(opponent, Result):
        return Result(opponent.verdict, opponent.reason)
    found = paired.ChampionSlices.model_validate(part(evaluation, "champion")).slices
    limit = 0.0 - config.slice_margin  # never -0.0
    if not found:
        return Result("pass", "there is no slice to compare", None, limit)
    each = 1 - (1 - config.confidence) / len(found)
    pairs = [(one.only_challenger_right, one.only_champion_right, one.examples) for one in found]
    significant = [one for one, counts in zip(found, pairs, strict=True) if compare.bounds(*counts, each)[1] < limit]
    worse = sorted(significant, key=lambda one: one.gain)
    worst = min(worse or found, key=lambda one: one.gain)
    margin = f"{100 * config.slice_margin:g} points"
    if worse:
        names = listed([f"{one.column} = {one.value} ({points(one.gain)})" for one in worse])
        reason = f"significantly worse than the champion by more than {margin} on {names}; {len(found)} slices compared"
        return Result("fail", reason, worst.gain, limit)
    small = sum(compare.bounds(*counts, config.confidence)[0] < limit for counts in pairs)
    reason = (
        f"none of {len(found)} slices is significantly worse than the champion by more than {margin}; lowest: "
        f"{worst.column} = {worst.value}, {points(worst.gain)} on {worst.examples:,} images"
        + (f"; {small} {'is' if small == 1 else 'are'} too small to decide" if small else "")
    )
    return Result("pass", reason, worst.gain, limit)


def _opponent(evaluation: Evidence, config: GateConfig) -> paired.Champion | Result:
    """The comparison, or the result if there is none to make."""
    measured = evidence.Measured.of(evaluation)
    require_confidence(measured, config)
    against = part(evaluation, "champion")
    if against is None:
        return Result("pass", "no champion yet")
    fit = paired.Comparable.model_validate(against)
    if not fit.comparable:
        return Result("fail", f"{UNCOMPARABLE}: {fit.reason or 'no reason given'}")
    found = paired.Champion.model_validate(against)
    if found.model_digest == measured.model_digest:
        limit = 0.0 if config.comparison == "superiority" else -config.margin
        return Result("pass", "it is the same model as the champion", 0.0, limit)
    return found
