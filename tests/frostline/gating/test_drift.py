"""The comparison with the reference: what a chain of champions may lose altogether, counted over all decisions."""

import pytest

from frostline.evaluation.compare import bounds

from tests.support.evaluations import champion, changed, check, decide, evaluated, reference, split

LAST = (1860, 20, 20, 100)  # as good as the champion


def against(*counts, decisions=1, pinned=False, last=LAST, **limits):
    """The check of a model with these counts against a reference that is not the champion, and the decision."""
    found = champion(*last)
    other = champion(*counts, version=1, manifest_digest="a" * 64, model_digest="first")
    use = split(decisions - 1, looks=decisions - 1.0, reference_looks=decisions - 1.0)
    total = sum(last)
    evaluation = evaluated(
        last[0] + last[1], total, champion=found, reference=reference(other, pinned=pinned), test_split=use
    )
    decision = decide(evaluation, slice_margin=1.0, **limits)
    return check(decision, "drift"), decision


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((1870, 10, 10, 110), "pass"),  # as good
        ((1860, 20, 60, 60), "pass"),  # worse by 2 points
        ((1840, 40, 100, 20), "inconclusive"),  # by 3 points, which may be 4
        ((1870, 10, 110, 10), "fail"),  # by 5 points, surely more than 4
    ],
)
def test_the_model_is_not_worse_than_the_reference_by_more_than_the_drift_margin(counts, verdict):
    found, decision = against(*counts)
    assert found["verdict"] == verdict
    assert (found["value"], found["limit"]) == ((counts[1] - counts[2]) / 2000, -0.04)
    assert decision["verdict"] == {"pass": "promote", "fail": "hold"}.get(verdict, verdict)
    assert "only the reference, version 1, on" in found["reason"]
    assert "the drift margin of 4 points" in found["reason"]
    low, high = bounds(counts[1], counts[2], 2000, 0.95)
    assert verdict == ("pass" if low >= -0.04 else "fail" if high < -0.04 else "inconclusive")


def test_the_more_decisions_used_the_images_the_more_must_be_shown():
    counts = (1850, 30, 80, 40)
    once, _ = against(*counts)
    often, decision = against(*counts, decisions=100)
    assert (once["verdict"], often["verdict"]) == ("pass", "inconclusive")
    assert "at 99.95 % confidence" in often["reason"]
    assert "(so 95 % for all 100 decisions on these images together)" in often["reason"]
    assert "together" not in once["reason"]
    low, _ = bounds(30, 80, 2000, 1 - 0.05 / 100)
    assert low < -0.04
    assert decision["examples_needed"] > 2000
    assert f"about {decision['examples_needed']:,} test images are needed" in often["reason"]


def test_a_loss_above_the_margin_is_shown_by_no_number_of_images():
    found, decision = against(1850, 30, 113, 7)  # 4.15 points on these images
    assert (found["verdict"], decision["verdict"], decision["examples_needed"]) == (
        "inconclusive",
        "inconclusive",
        None,
    )
    assert "it seems worse by more than the drift margin" in found["reason"]


@pytest.mark.parametrize(("margin", "limit"), [(0.02, -0.04), (0.04, -0.04), (0.1, -0.1), (1.0, -1.0)])
def test_the_drift_margin_is_at_least_the_margin_of_one_step(margin, limit):
    assert against(1870, 10, 10, 110, margin=margin)[0]["limit"] == limit
    assert against(1870, 10, 10, 110, margin=margin, drift_margin=0.0)[0]["limit"] is None


def test_a_champion_that_is_the_reference_is_not_compared_twice():
    decision = decide(evaluated(champion=champion(940, 10, 5, 45)))
    assert check(decision, "drift")["reason"] == "the champion is the reference"
    assert check(decision, "drift")["verdict"] == "pass"


def test_there_is_nothing_to_drift_from_before_the_first_champion():
    decision = decide(evaluated(champion=None))
    assert (check(decision, "drift")["verdict"], check(decision, "drift")["reason"]) == ("pass", "no champion yet")
    assert decision["becomes_reference"]


def test_superiority_cannot_drift_and_stays_as_it_is():
    found, decision = against(1880, 10, 110, 0, last=(1800, 90, 40, 70), comparison="superiority")
    assert (found["verdict"], decision["verdict"]) == ("pass", "promote")


def test_a_drift_margin_of_0_disables_the_check():
    found, decision = against(1870, 10, 110, 10, drift_margin=0.0)
    assert (found["reason"], decision["verdict"]) == ("no limit set", "promote")


def test_a_reference_that_cannot_be_compared_holds_and_says_what_helps():
    lost = {"version": 1, "manifest_digest": "a" * 64, "model_digest": "first", "comparable": False,
            "reason": "its files are gone", "pinned": True, "stored": True, "replaces": ""}  # fmt: skip
    decision = decide(evaluated(1880, 2000, champion=champion(*LAST), reference=lost))
    assert decision["verdict"] == "hold"
    assert decision["reason"] == "cannot be compared with the reference: its files are gone"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("reference",), KeyError),
        (("reference",), None),
        (("test_split", "reference_looks"), KeyError),
        (("test_split", "reference_looks"), -1.0),
        (("test_split", "reference_looks"), float("nan")),
        (("test_split", "reference_looks"), 99.0),  # more than all looks
        (("reference", "both_right"), 1871),
        (("reference", "model_digest"), "new"),  # its own model, with other predictions
        (("reference", "pinned"), KeyError),
    ],
)
def test_without_its_evidence_the_model_is_held(path, value):
    other = champion(1870, 10, 10, 110, version=1, manifest_digest="a" * 64, model_digest="first")
    good = evaluated(1880, 2000, champion=champion(*LAST), reference=reference(other))
    assert decide(good)["verdict"] == "promote"
    assert decide(changed(good, path, value))["verdict"] == "hold"


def test_a_champion_is_not_passed_off_as_the_reference_with_another_comparison():
    good = evaluated(1880, 2000, champion=champion(*LAST))
    assert decide(good)["verdict"] == "promote"
    assert decide(changed(good, ("reference", "only_champion_right"), 19))["verdict"] == "hold"


def becomes(*counts, **fields):
    return against(*counts, last=(1800, 90, 40, 70), **fields)[1]["becomes_reference"]


def test_a_model_that_is_shown_to_be_better_becomes_the_reference():
    assert becomes(1820, 70, 30, 80)
    assert not becomes(1820, 70, 60, 50)
    assert not becomes(1820, 70, 30, 80, pinned=True)  # a person decides
    close = (1840, 50, 30, 80)  # p = 0.017
    assert becomes(*close)
    assert not becomes(*close, decisions=10)


def test_a_held_model_becomes_nothing():
    found, decision = against(1820, 70, 30, 80, last=(1700, 10, 200, 90))
    assert (found["verdict"], decision["verdict"], decision["becomes_reference"]) == ("pass", "hold", False)
