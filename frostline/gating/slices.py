"""The gate's comparison of classes and metadata slices with the champion and with the reference.

Each column of metadata, and the classes, is a family of its own: a further column weakens no other one. Within a
column the tests are corrected by Holm, so a column without a loss above the margin fails with a probability of at most
1 - confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from frostline.documents.release import SliceRow
from frostline.evaluation import compare
from frostline.gating import paired
from frostline.gating.config import GateConfig
from frostline.gating.evidence import Evidence, part
from frostline.gating.multiple import holm
from frostline.gating.result import Result, points
from frostline.text import listed

Against = Literal["champion", "reference"]


def slices(evaluation: Evidence, config: GateConfig) -> Result:
    """No class and no metadata slice is significantly worse by more than the slice margin."""
    found = paired.opponent(evaluation, config, "champion")
    if isinstance(found, Result):
        return Result(found.verdict, found.reason)
    limit, compared = 0.0 - config.slice_margin, rows(evaluation, config)  # never -0.0
    if not compared:
        return Result("pass", "there is no slice to compare", None, limit)
    worse = sorted((one for one in compared if one["verdict"] == "fail"), key=lambda one: one["gain"])
    worst = min(worse or compared, key=lambda one: one["gain"])
    margin, others = f"{100 * config.slice_margin:g} points", _others(compared)
    if worse:
        names = listed([f"{_name(one)} ({points(one['gain'])}, {one['against']})" for one in worse])
        reason = (
            f"significantly worse than the {others} by more than {margin} on {names}; {len(compared)} slices compared"
        )
        return Result("fail", reason, worst["gain"], limit)
    small = [one for one in compared if one["smallest"] is None]
    reason = (
        f"none of {len(compared)} slices is significantly worse than the {others} by more than {margin}; lowest: "
        f"{_name(worst)}, {points(worst['gain'])} on {worst['examples']:,} images"
    )
    if small:
        names = listed(list(dict.fromkeys(f"{_name(one)} ({one['examples']})" for one in small)))
        reason += f"; too small to show any loss: {names}"
    return Result("pass", reason, worst["gain"], limit)


def rows(evaluation: Evidence, config: GateConfig) -> list[SliceRow]:
    """The comparison of every slice, with the champion and with the reference if that is another version.

    Raises:
        UnusableError, ValidationError: the evidence cannot be used.
    """
    found: list[SliceRow] = []
    for against in _opponents(evaluation, config):
        compared = paired.ChampionSlices.model_validate(part(evaluation, against)).slices
        for column in dict.fromkeys(one.column for one in compared):
            found += _column([one for one in compared if one.column == column], against, config)
    return found


def _opponents(evaluation: Evidence, config: GateConfig) -> list[Against]:
    champion = paired.opponent(evaluation, config, "champion")
    if isinstance(champion, Result):
        return []
    if config.most_drift == 0.0:
        return ["champion"]
    reference = paired.opponent(evaluation, config, "reference")
    same = isinstance(reference, Result) or reference.version == champion.version
    return ["champion"] if same else ["champion", "reference"]


def _column(compared: Sequence[paired.PairedSlice], against: Against, config: GateConfig) -> list[SliceRow]:
    level, margin = 1 - config.confidence, config.slice_margin
    p_values = [
        compare.worse_than(one.only_challenger_right, one.only_champion_right, one.examples, margin) for one in compared
    ]
    return [
        {
            "against": against,
            "column": one.column,
            "value": one.value,
            "examples": one.examples,
            "gain": one.gain,
            "smallest": compare.smallest_loss(one.examples, margin, level / len(compared)),
            "verdict": "fail" if rejected else "pass",
        }
        for one, rejected in zip(compared, holm(p_values, level), strict=True)
    ]


def _others(compared: Sequence[SliceRow]) -> str:
    return " and the ".join(dict.fromkeys(one["against"] for one in compared))


def _name(one: SliceRow) -> str:
    return f"{one['column']} = {one['value']}"
