"""The comparison with the champion: not worse, or better."""

import pytest
from scipy.stats import binomtest

from frostline.evaluation.compare import bounds

from tests.support.evaluations import EVALUATION, champion, changed, check, decide, evaluated, pairs


def against(*counts, **limits):
    total = sum(counts)
    decision = decide(evaluated(counts[0] + counts[1], total, champion=champion(*counts)), slice_margin=1.0, **limits)
    return check(decision, "champion"), decision


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((900, 50, 5, 45), "pass"),  # better
        ((940, 10, 10, 40), "pass"),  # equal, and sure of it
        ((930, 10, 25, 35), "inconclusive"),  # between
        ((880, 5, 80, 35), "fail"),  # worse
        ((94, 1, 1, 4), "inconclusive"),  # equal, but on a hundred images only
    ],
)
def test_the_champion_must_not_be_better_by_more_than_the_margin(counts, verdict):
    found, decision = against(*counts)
    assert found["verdict"] == verdict
    assert (found["value"], found["limit"]) == ((counts[1] - counts[2]) / sum(counts), -0.02)
    assert decision["verdict"] == {"pass": "promote", "fail": "hold"}.get(verdict, verdict)
    low, high = bounds(counts[1], counts[2], sum(counts), 0.95)
    assert verdict == ("pass" if low >= -0.02 else "fail" if high < -0.02 else "inconclusive")
    bound = f"{100 * (high if verdict == 'fail' else low):+.2f} points"
    assert (
        f"{bound} and {100 * high:+.2f} points, each bound at" in found["reason"]
        or f"{bound} at 95 %" in found["reason"]
    )


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((900, 50, 5, 45), "pass"),
        ((900, 25, 12, 63), "pass"),
        ((900, 21, 12, 67), "inconclusive"),  # p = 0.08
        ((940, 10, 10, 40), "inconclusive"),
        ((950, 0, 0, 50), "inconclusive"),
        ((880, 12, 25, 83), "fail"),
    ],
)
def test_superiority_asks_for_the_exact_mcnemar_test(counts, verdict):
    found, decision = against(*counts, comparison="superiority")
    assert found["verdict"] == verdict
    assert found["limit"] == 0.0
    _, wins, losses, _ = counts
    better, worse = (
        binomtest(wins, wins + losses, alternative=side).pvalue <= 0.05 if wins + losses else False
        for side in ("greater", "less")
    )
    assert verdict == ("pass" if better else "fail" if worse else "inconclusive")
    if verdict == "inconclusive":
        assert (decision["examples_needed"] is None) == (wins <= losses)


def test_an_inconclusive_comparison_names_about_how_many_images_are_needed():
    found, decision = against(94, 1, 1, 4)
    assert decision["examples_needed"] > 200
    assert f"about {decision['examples_needed']:,} test images are needed to decide" in found["reason"]
    found, decision = against(925, 10, 34, 31)  # observed: worse by 2.4 points; 2 are allowed
    assert (found["verdict"], decision["examples_needed"]) == ("inconclusive", None)


def test_images_left_out_of_the_comparison_count_among_those_needed():
    both = {"champion": champion(94, 1, 1, 4)}
    whole = decide(evaluated(95, 100, **both))["examples_needed"]
    half = decide(evaluated(190, 200, champion=champion(94, 1, 1, 4, excluded=100)))
    assert half["examples_needed"] == 2 * whole
    assert any("100 test images are left out" in note for note in half["notes"])


def test_no_champion_yet_passes():
    decision = decide(evaluated(champion=None))
    for name in ("champion", "slices"):
        assert (check(decision, name)["verdict"], check(decision, name)["reason"]) == ("pass", "no champion yet")


def test_a_missing_comparison_is_not_taken_for_no_champion():
    found = check(decide(changed(EVALUATION, ("champion",), KeyError)), "champion")
    assert found["verdict"] == "fail"
    assert "champion: is missing" in found["reason"]


def test_a_champion_that_cannot_be_compared_holds_with_the_reason():
    lost = {"version": 3, "model_digest": "old", "comparable": False, "reason": "it knows other labels"}
    decision = decide(evaluated(champion=lost))
    assert decision["verdict"] == "hold"
    assert decision["reason"] == "cannot be compared with the champion: it knows other labels"


@pytest.mark.parametrize("comparison", ["non_inferiority", "superiority"])
def test_the_champions_own_model_passes_on_few_images(comparison):
    decision = decide(evaluated(95, 100, champion=champion(95, 0, 0, 5, model_digest="new")), comparison=comparison)
    assert decision["verdict"] == "promote"
    assert check(decision, "champion")["reason"] == "it is the same model as the champion"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"both_right": 941}, "do not sum"),
        (pairs(840, 10, 5, 45), "received 900 examples and 0 excluded; expected 1000 in total"),
        ({"excluded": 1}, "received 1000 examples and 1 excluded"),
        ({"difference": {"value": 0.5, "low": 0.4, "high": 0.6}}, "does not follow from the counts"),
        ({"difference": {"value": 0.005, "low": 0.01, "high": 0.02}}, "not in this order"),
    ],
)
def test_a_comparison_that_contradicts_itself_fails(change, reason):
    decision = decide(evaluated(champion={**EVALUATION["champion"], **change}))
    assert reason in check(decision, "champion")["reason"]
    assert decision["verdict"] == "hold"
