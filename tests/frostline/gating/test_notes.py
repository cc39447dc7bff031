"""Notes: what a reader should know although no check depends on it."""

import pytest

from tests.support.evaluations import EVALUATION, champion, changed, decide, evaluated, part, reference, row, split


@pytest.mark.parametrize(
    ("use", "told", "together"),
    [
        (split(1, looks=1.0), "1 earlier decision used these test images or some of them (0 held)", "10"),
        (split(13, 9, looks=13.0), "13 earlier decisions used these test images or some of them (9 held)", "70"),
        (split(13, 9, looks=6.5), "13 earlier decisions used these test images or some of them (9 held), which counts "
         "as 6.5 by their overlap", "37.5"),
        (split(365, looks=365.0), "365 earlier decisions used these test images or some of them (0 held)", "100"),
        ({"digest": "e", "promotions": 2}, "2 earlier decisions used these test images or some of them (0 held)", "15"),
    ],
)  # fmt: skip
def test_test_images_that_were_used_before_are_noted_with_what_their_use_adds_up_to(use, told, together):
    decision = decide(evaluated(test_split=use))
    assert decision["verdict"] == "promote"
    assert decision["notes"] == [
        f"{told}; reuse raises the false-promotion rate: up to 5 % per decision at confidence 0.95, up to {together} % "
        "for at least one of the chain; new test images lower it"
    ]


def test_a_reference_whose_files_are_gone_is_told():
    against = champion(940, 10, 5, 45)
    replaces = "version 1, an earlier reference, cannot be compared: its files are gone"
    other = reference(against, version=2, manifest_digest="a" * 64, stored=True, replaces=replaces)
    assert decide(evaluated(champion=against, reference=other))["notes"] == [
        replaces,
        "the files of the reference, version 2, are gone; its stored predictions were compared",
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
