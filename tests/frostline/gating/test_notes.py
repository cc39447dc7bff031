"""Notes: what a reader should know and no check decides."""

import pytest

from tests.support.evaluations import EVALUATION, champion, changed, decide, evaluated, part, row


def split(promotions):
    return {"digest": "e" * 64, "promotions": promotions}


@pytest.mark.parametrize(
    ("promotions", "times", "together"), [(1, "1 promotion", "9.75"), (13, "13 promotions", "51.2")]
)
def test_a_test_split_that_was_used_before_is_noted_with_what_it_adds_up_to(promotions, times, together):
    decision = decide(evaluated(test_split=split(promotions)))
    assert decision["verdict"] == "promote"
    assert decision["notes"] == [
        f"exactly this test split has already decided {times} (models that were held are not counted); each decision "
        f"at confidence 0.95 adds up to 5 % false promotions: together up to {together} %"
    ]


def test_small_classes_are_named():
    rows = [row("cat", 66, 71), row("owl", 29, 29), row("emu", 0, 0)]
    slices = [part("camera", "field", 30, 30), part("camera", "studio", 20, 29)]
    assert decide(evaluated(95, 100, per_class=rows, slices=slices))["notes"] == [
        "fewer than 30 test images, so only rough numbers: owl (29), emu (0), camera = studio (29)"
    ]


def test_columns_without_slices_are_named():
    assert decide(evaluated(columns_left_out=["serial", "taken_at"]))["notes"] == [
        "no slices are made of serial, taken_at: too many different values"
    ]


def test_what_the_comparison_leaves_out_is_told():
    against = champion(940, 10, 5, 45, excluded=20, made_with=13, new_labels=["owl"])
    assert decide(evaluated(969, 1020, champion=against))["notes"] == [
        "20 test images are left out of the comparison: the champion was made with 13, and does not know the label "
        "of 7",
        "the champion does not know owl: nothing is compared there",
    ]


@pytest.mark.parametrize("path", [("test_split",), ("columns_left_out",)])
def test_notes_that_cannot_be_made_are_told_once_and_decide_nothing(path):
    decision = decide(changed(EVALUATION, path, 7))
    assert decision["verdict"] == "promote"
    assert decision["notes"] == ["a part of evaluation.json that notes are made from cannot be read"]
