"""Classes and slices against champion and reference: which are worse, and what each could have shown."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from frostline.evaluation import compare
from frostline.gating.config import GateConfig
from frostline.gating.slices import rows

from tests.support.evaluations import (
    EVALUATION,
    champion,
    changed,
    check,
    decide,
    evaluated,
    pairs,
    reference,
)


def sliced(*parts, **limits):
    """The check of these slices, ("value", four counts) each, and of a class that is all, in a good comparison."""
    whole = [sum(counts) for counts in zip(*(counts for _, counts in parts), (8000, 600, 50, 400), strict=True)]
    rows = [{"column": "camera", "value": value, **pairs(*counts)} for value, counts in parts]
    rows.append({"column": "true label", "value": "cat", **pairs(*whole)})
    evaluation = evaluated(whole[0] + whole[1], sum(whole), champion=champion(*whole, slices=rows))
    decision = decide(evaluation, **limits)
    return check(decision, "slices"), decision


def test_a_slice_that_is_significantly_worse_by_more_than_its_margin_holds_the_promotion():
    found, decision = sliced(("field", (100, 5, 3, 10)), ("studio", (40, 2, 40, 18)))
    assert decision["verdict"] == "hold"
    assert (found["verdict"], found["value"], found["limit"]) == ("fail", -0.38, -0.1)
    assert "camera = studio (-38.00 points, champion)" in found["reason"]
    assert decision["reason"] == found["reason"]


def test_a_slice_that_is_worse_within_the_margin_or_perhaps_by_chance_does_not():
    found, decision = sliced(("field", (180, 2, 12, 6)), ("studio", (3, 0, 2, 1)))
    assert decision["verdict"] == "promote"
    assert "none of 3 slices is significantly worse" in found["reason"]
    assert "lowest: camera = studio, -33.33 points on 6 images" in found["reason"]
    assert found["reason"].endswith("; too small to show any loss: camera = studio (6)")


def test_one_unlucky_slice_of_many_does_not_hold_the_promotion():
    unlucky = ("studio", (50, 2, 22, 26))
    alone, _ = sliced(unlucky)
    among, _ = sliced(unlucky, *[(str(number), (90, 2, 2, 6)) for number in range(60)])
    assert (alone["verdict"], among["verdict"]) == ("fail", "pass")


def test_a_comparison_without_slices_says_so_and_one_that_lacks_them_holds():
    decision = decide(changed(EVALUATION, ("champion", "slices"), []))
    assert check(decision, "slices")["reason"] == "there is no slice to compare"
    assert (decision["verdict"], check(decision, "consistency")["verdict"]) == ("hold", "fail")
    decision = decide(changed(EVALUATION, ("champion", "slices"), KeyError))
    assert (decision["verdict"], check(decision, "slices")["verdict"]) == ("hold", "fail")


def camera(number, *counts, column="camera"):
    return {"column": column, "value": str(number), **pairs(*counts)}


def compared(slices, **limits):
    """The rows of a comparison that has these slices and is good as a whole."""
    whole = champion(8000, 600, 50, 350, slices=list(slices))
    return rows(evaluated(8600, 9000, champion=whole), GateConfig(**limits))


def test_a_further_column_weakens_no_other_one():
    """A loss that is significant among the two cameras stays so, however many values another column has."""
    worse = [camera(0, 50, 2, 24, 24), camera(1, 90, 2, 2, 6)]
    sites = [camera(number, 90, 2, 2, 6, column="site") for number in range(49)]
    for slices in (worse, worse + sites, sites + worse):
        found = {(row["column"], row["value"]): row["verdict"] for row in compared(slices)}
        assert found["camera", "0"] == "fail"
        assert found["camera", "1"] == "pass"
    together = compared(
        [{**one, "column": "camera", "value": f"{one['column']} {one['value']}"} for one in worse + sites]
    )
    assert {row["verdict"] for row in together} == {"pass"}  # one family of 51


def test_several_lost_slices_do_not_hide_each_other():
    """Holm: once the worst is rejected, the next one is tested among the others only; Bonferroni would miss it."""
    second = (50, 2, 22, 26)
    p = compare.worse_than(2, 22, 100, 0.1)
    assert 0.05 / 3 < p <= 0.05 / 2
    lost = camera(0, 10, 0, 80, 10)
    found = compared([lost, camera(1, *second), camera(2, 90, 2, 2, 6)])
    assert [row["verdict"] for row in found] == ["fail", "fail", "pass"]
    found = compared([camera(0, 90, 2, 2, 6), camera(1, *second), camera(2, 90, 2, 2, 6)])
    assert [row["verdict"] for row in found] == ["pass", "pass", "pass"]


@pytest.mark.parametrize(("images", "values"), [(20, 1), (20, 10), (60, 3), (400, 10), (5, 1)])
def test_the_smallest_loss_is_the_smallest_that_fails(images, values):
    others = [camera(number, images, 0, 0, 0) for number in range(1, values)]

    def verdict(lost):
        return compared([camera(0, images - lost, 0, lost, 0), *others])[0]["verdict"]

    smallest = compared([camera(0, images, 0, 0, 0), *others])[0]["smallest"]
    failing = [lost for lost in range(images + 1) if verdict(lost) == "fail"]
    assert (smallest is None) == (failing == [])
    if failing:
        assert failing == list(range(round(smallest * images), images + 1))


def test_what_each_slice_could_have_shown_is_printed_and_a_hopeless_one_is_named():
    slices = [camera(0, 190, 2, 2, 6), camera(1, 3, 0, 2, 0), camera(2, 15, 0, 1, 4)]
    rest = {"column": "true label", "value": "cat", **pairs(8000, 600, 50, 350)}
    evaluation = evaluated(8600, 9000, champion=champion(8000, 600, 50, 350, slices=[rest, *slices]))
    decision = decide(evaluation)
    assert check(decision, "slices")["reason"].endswith("; too small to show any loss: camera = 1 (5)")
    shown = {row["value"]: row["smallest"] for row in decision["slices"]}
    assert shown == {
        "cat": pytest.approx(0.1054, abs=1e-3),
        "0": 0.155,
        "1": None,
        "2": pytest.approx(7 / 15, abs=0.04),
    }


def test_a_slice_that_was_lost_a_little_at_a_time_fails_against_the_reference():
    """Nine points per champion pass a margin of ten each time; the reference still has the accuracy of the first."""
    whole = (7950, 650, 100, 300)
    cat = {"column": "true label", "value": "cat", **pairs(*whole)}
    last = champion(*whole, slices=[cat, camera(0, 150, 2, 20, 28)])
    first = reference(last, version=1, manifest_digest="a" * 64, slices=[cat, camera(0, 120, 2, 60, 18)])
    decision = decide(evaluated(8600, 9000, champion=last, reference=first))
    assert "camera = 0 (-29.00 points, reference)" in check(decision, "slices")["reason"]
    assert "than the champion and the reference by more than 10 points" in check(decision, "slices")["reason"]
    assert [row["verdict"] for row in decision["slices"] if row["against"] == "champion"] == ["pass", "pass"]
    assert decide(evaluated(8600, 9000, champion=last, reference=first), drift_margin=0.0)["verdict"] == "promote"


@pytest.mark.parametrize(("images", "level"), list(itertools.product((10, 20, 50), (0.05, 0.01, 0.005))))
def test_a_slice_at_the_margin_fails_no_more_often_than_its_level(images, level):
    """Summed over every outcome, for every rate of gains."""

    def rate(gained):
        total = 0.0
        for wins in range(images + 1):
            fails = (n for n in range(images - wins + 1) if compare.worse_than(wins, n, images, 0.1) <= level)
            least = next(fails, None)
            if least is not None:
                more = binom.sf(least - 1, images - wins, (gained + 0.1) / (1 - gained))
                total += binom.pmf(wins, images, gained) * more
        return total

    assert max(rate(gained) for gained in np.linspace(0.0, 0.4, 9)) <= level
