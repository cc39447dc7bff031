"""Notes: what a reader should know although no check depends on it."""

import pytest

from tests.support.evaluations import EVALUATION, champion, changed, decide, evaluated, part, row


def split(promotions):
    return {"digest": "e" * 64, "promotions": promotions}


@pytest.mark.parametrize(
    ("promotions", "times", "together"), [(1, "1 promotion was", "9.75"), (13, "13 promotions were", "51.2")]
)
def test_a_test_split_that_was_used_before_is_noted_with_what_it_adds_up_to(promotions, times, together):
    decision = decide(evaluated(test_split=split(promotions)))
    assert decision["verdict"] == "promote"
    assert decision["notes"] == [
        f"{times} decided on exactly this test split before (models that were held are not counted); reusing a test "
        "split raises the false-promotion rate: up to 5 % per decision at confidence 0.95, up to "
        f"{together} % in total with this decision"
    ]


def test_small_classes_are_named():
    rows = [row("cat", 66, 71), row("owl", 29, 29), row("emu", 0, 0)]
    slices = [part("camera", "field", 30, 30), part("camera", "studio", 20, 29)]
    assert decide(evaluated(95, 100, per_class=rows, slices=slices))["notes"] == [
        "fewer than 30 test images, so the numbers are rough: owl (29), emu (0), camera = studio (29)"
    ]


def test_columns_without_slices_are_named():
    assert decide(evaluated(columns_left_out=["serial", "taken_at"]))["notes"] == [
        "no slices for serial, taken_at: too many different values"
    ]


def test_what_the_comparison_leaves_out_is_told():
    against = champion(940, 10, 5, 45, excluded=20, made_with=13, new_labels=["owl"])
    assert decide(evaluated(969, 1020, champion=against))["notes"] == [
        "20 test images are left out of the comparison: the champion was trained or validated on 13 and lacks "
        "the label of 7",
        "not compared, because the champion lacks these labels: owl",
    ]


@pytest.mark.parametrize("path", [("test_split",), ("columns_left_out",)])
def test_notes_that_cannot_be_made_are_told_once_and_decide_nothing(path):
    decision = decide(changed(EVALUATION, path, 7))
    assert decision["verdict"] == "promote"
    assert decision["notes"] == ["some notes are missing, because a part of evaluation.json cannot be read"]
