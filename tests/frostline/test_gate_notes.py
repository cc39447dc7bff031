"""Notes: what a reader should know and no check decides."""

import pytest

from evaluations import EVALUATION, champion, changed, decide, evaluated, row


def split(promotions):
    return {"digest": "e" * 64, "promotions": promotions}


@pytest.mark.parametrize(
    ("promotions", "told"),
    [
        (1, "already decided 1 promotion; each decision at confidence 0.95 adds up to 5 % false promotions: "
            "together up to 9.75 %"),
        (13, "already decided 13 promotions; each decision at confidence 0.95 adds up to 5 % false promotions: "
             "together up to 51.2 %"),
    ],
)  # fmt: skip
def test_a_test_split_that_was_used_before_is_noted_with_what_it_adds_up_to(promotions, told):
    decision = decide(evaluated(test_split=split(promotions)))
    assert decision["verdict"] == "promote"
    assert decision["notes"] == [f"this test split has {told}"]


def test_small_classes_are_named():
    rows = [row("cat", 90, 91), row("owl", 9, 9), row("emu", 0, 0)]
    assert decide(evaluated(95, 100, per_class=rows))["notes"] == [
        "fewer than 10 test images, too few to say much of: owl (9), emu (0)"
    ]


def test_what_the_comparison_leaves_out_is_told():
    against = champion(940, 10, 5, 45, excluded=20, new_labels=["owl"])
    assert decide(evaluated(969, 1020, champion=against))["notes"] == [
        "20 test images are left out of the comparison: the champion was made with them, or does not know their label",
        "the champion does not know owl: nothing is compared there",
    ]


def test_a_required_approval_is_told_where_there_is_something_to_approve():
    told = "a person's approval is required before the model serves"
    assert decide(approval="required")["notes"] == [told]
    assert decide(evaluated(600), approval="required")["notes"] == []


@pytest.mark.parametrize("path", [("test_split",), ("per_class",), ("champion", "new_labels")])
def test_notes_that_cannot_be_made_are_told_once_and_decide_nothing(path):
    decision = decide(changed(EVALUATION, path, 7))
    assert decision["verdict"] == "promote"
    assert decision["notes"] == ["a part of evaluation.json that notes are made from cannot be read"]
