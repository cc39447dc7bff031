"""The floors: what reaches them, what misses them, what cannot be decided, and how often they are wrong."""

import pytest
from scipy.stats import binom, binomtest

from frostline.gating.config import GateConfig
from frostline.gating.floors import accuracy

from tests.support.evaluations import check, decide, evaluated, part, row


@pytest.mark.parametrize(
    ("correct", "verdict"),
    [(950, "promote"), (830, "promote"), (810, "inconclusive"), (790, "inconclusive"), (770, "hold")],
)
def test_the_accuracy_must_be_shown_to_be_at_or_above_its_floor(correct, verdict):
    decision = decide(evaluated(correct))
    assert decision["verdict"] == verdict
    assert check(decision, "accuracy")["value"] == correct / 1000
    assert check(decision, "accuracy")["limit"] == 0.8


@pytest.mark.parametrize(("examples", "floor"), [(30, 0.9), (100, 0.5), (1000, 0.8), (5000, 0.97)])
def test_the_verdict_is_that_of_exact_binomial_tests(examples, floor):
    for correct in range(max(0, int(examples * floor) - 60), min(examples, int(examples * floor) + 60) + 1):
        above = binomtest(correct, examples, floor, alternative="greater").pvalue <= 0.05
        below = binomtest(correct, examples, floor, alternative="less").pvalue <= 0.05
        found = accuracy(evaluated(correct, examples), GateConfig(min_accuracy=floor)).verdict
        assert found == ("pass" if above else "fail" if below else "inconclusive"), correct


@pytest.mark.parametrize(("examples", "floor"), [(52, 0.95), (59, 0.95), (200, 0.9), (1000, 0.5)])
def test_a_model_at_the_floor_passes_in_at_most_one_case_of_twenty(examples, floor):
    """Summed over every outcome. A one-sided limit by Wilson would err in 6.9 % of the first case."""
    config = GateConfig(min_accuracy=floor)
    passes = [accuracy(evaluated(correct, examples), config).verdict == "pass" for correct in range(examples + 1)]
    assert sum(binom.pmf(correct, examples, floor) for correct, passed in enumerate(passes) if passed) <= 0.05


def test_an_inconclusive_floor_names_about_how_many_images_are_needed():
    decision = decide(evaluated(82, 100))
    needed = decision["examples_needed"]
    assert f"about {needed:,} test images are needed to decide" in decision["reason"]
    smallest = next(n for n in range(round(needed * 0.82) + 1) if binom.sf(n - 1, needed, 0.8) <= 0.05)
    assert 0.75 < binom.sf(smallest - 1, needed, 0.82) < 0.85


def test_below_the_floor_no_number_of_images_would_show_it():
    decision = decide(evaluated(79, 100))
    assert decision["verdict"] == "inconclusive"
    assert decision["examples_needed"] is None
    assert "no number of test images would be enough" in decision["reason"]


def classes(*rows, floor=0.7):
    total = sum(one["examples"] for one in rows)
    found = evaluated(round(total * 0.95), total, per_class=list(rows))
    decision = decide(found, min_class_recall=floor)
    return check(decision, "classes"), decision


def test_every_class_must_reach_the_recall_floor():
    found, _ = classes(row("cat", 95, 100), row("dog", 80, 100))
    assert (found["verdict"], found["value"], found["limit"]) == ("pass", 0.8, 0.7)
    assert "all 2 classes; lowest: dog, 80 of 100" in found["reason"]
    found, _ = classes(row("cat", 95, 100), row("dog", 55, 100))
    assert (found["verdict"], found["value"]) == ("fail", 0.55)
    assert "recall significantly below the floor of 70 %: dog (55 of 100)" in found["reason"]
    found, decision = classes(row("cat", 95, 100), row("dog", 18, 24))
    assert (found["verdict"], found["value"]) == ("inconclusive", 0.75)
    assert "dog (18 of 24)" in found["reason"]
    assert decision["examples_needed"] > 5 * 124  # 600 dogs or so, and cats in proportion


def test_one_unlucky_class_of_many_is_not_a_failure():
    """Of 100 classes at the floor, some look significantly below it one by one; the correction is for all 100."""
    unlucky = row("class 0", 61, 100)  # 61 or fewer of 100 at 0.7: once in 33
    alone, _ = classes(unlucky)
    among, _ = classes(unlucky, *[row(f"class {number}", 95, 100) for number in range(1, 100)])
    assert (alone["verdict"], among["verdict"]) == ("fail", "inconclusive")


def test_a_class_without_examples_fails_a_floor_and_is_noted_without_one():
    rows = [row("cat", 95, 100), row("owl", 0, 0)]
    found, _ = classes(*rows)
    assert (found["verdict"], found["reason"][:34]) == ("fail", "there is no test image of owl, so ")
    decision = decide(evaluated(95, 100, per_class=rows))
    assert check(decision, "classes")["verdict"] == "pass"
    assert any("owl (0)" in note for note in decision["notes"])


def test_the_rows_of_the_classes_must_be_those_of_the_test_images():
    decision = decide(evaluated(950, 1000, per_class=[row("cat", 95, 100)]), min_class_recall=0.5)
    assert "do not sum to examples" in check(decision, "classes")["reason"]
    assert decision["verdict"] == "hold"
    wrong = {**row("cat", 95, 100), "recall": {"value": 0.955, "low": 0.9, "high": 1.0}}
    decision = decide(evaluated(95, 100, per_class=[wrong]), min_class_recall=0.5)
    assert "is not a proportion of 100 examples" in check(decision, "classes")["reason"]


def slices(*parts, floor=0.8):
    return check(decide(evaluated(slices=list(parts)), min_slice_accuracy=floor), "slices_floor")


def test_every_slice_that_is_large_enough_must_reach_its_floor():
    found = slices(part("camera", "field", 90, 100), part("camera", "studio", 3, 4))
    assert (found["verdict"], found["limit"]) == ("pass", 0.8)
    assert "1 of 2 slices are too small to decide" in found["reason"]
    assert slices(part("camera", "field", 82, 100))["verdict"] == "inconclusive"
    assert slices(part("camera", "field", 60, 100))["verdict"] == "fail"
    tiny = slices(part("camera", "field", 90, 100), part("camera", "studio", 0, 4))
    assert (tiny["verdict"], tiny["value"]) == ("fail", 0.0)  # too small to pass, not too small to fail
    assert "camera = studio (0 of 4)" in tiny["reason"]


def test_images_without_metadata_have_no_slice_below_a_floor():
    found = slices()
    assert (found["verdict"], found["reason"]) == (
        "fail",
        "no test image has metadata, so the accuracy on slices cannot be shown to reach its floor",
    )
