"""An evaluation that contradicts itself promotes nothing, even where each part alone would pass."""

import pytest

from frostline.freeze.certificate import seal

from tests.support.evaluations import CERTIFICATE, EVALUATION, champion, check, decide, evaluated, pairs, part, row

GOOD = EVALUATION["champion"]
CLASS = {"column": "true label", "value": "cat"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"per_class": [row("cat", 0, 500), row("dog", 0, 500)]}, "its recalls do not give the accuracy"),
        ({"per_class": [row("cat", 500, 500), row("dog", 450, 499)]}, "do not sum to examples"),
        ({"per_class": [row("cat", 475, 500), row("cat", 475, 500)]}, "its labels are not those of labels"),
        ({"labels": ["cat", "cat"]}, "labels: one is listed twice"),
        ({"confusion": [[475, 25], [0, 500]]}, "its diagonal does not give the recalls"),
        ({"confusion": [[475, 25], [25]]}, "is not labels by labels"),
        ({"confusion": [[475, 25], [24, 475]]}, "its rows do not sum to the examples"),
        (
            {"slices": [part("camera", "field", 950, 1000), part("camera", "studio", 9, 10)]},
            "sum to more than there are",
        ),
        ({"slices": [part("camera", "field", 1000, 1000)]}, "the correct examples of a column sum to more"),
        ({"slices": [part("camera", "field", 5, 10)] * 2}, "slices: one is listed twice"),
        ({"skew": {"images": 1, "agreement": 0.997}}, "is not a proportion of 1 examples"),
        ({"skew": {"images": 1001, "agreement": 1.0}}, "more images than there are"),
        ({"champion": champion(100, 10, 5, 885)}, "champion: it implies another accuracy"),
        ({"champion": {**GOOD, "slices": []}}, "the examples of the classes do not sum to the whole"),
        ({"champion": {**GOOD, "slices": [{**CLASS, **pairs(9, 1, 0, 0)}]}}, "the examples of the classes"),
        (
            {"champion": {**GOOD, "slices": [*GOOD["slices"], GOOD["slices"][1]]}},
            "champion.slices: one is listed twice",
        ),
        ({"champion": {**GOOD, "new_labels": ["dog"]}}, "images with labels that it lacks were compared"),
        ({"champion": {**GOOD, "model_digest": "new"}}, "the same model disagrees with itself"),
    ],
)
def test_parts_that_contradict_each_other_hold(changes, reason):
    decision = decide({**EVALUATION, **changes}, min_accuracy=0.0)
    assert decision["verdict"] == "hold"
    assert reason in check(decision, "consistency")["reason"]


def test_a_comparison_on_a_part_of_the_images_can_have_fewer_that_are_correct():
    counts = (840, 10, 5, 45)
    decision = decide(evaluated(champion=champion(*counts, excluded=100, made_with=100)))
    assert (check(decision, "consistency")["verdict"], decision["verdict"]) == ("pass", "promote")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"phases": [{"verified": False, "moved": []}]}, "frozen weights changed"),
        ({"phases": [{"verified": True, "moved": ["conv/0:kernel"]}]}, r"frozen weights changed (conv/0:kernel)"),
        ({"phases": []}, "the evidence cannot be used: phases"),
        ({"frozen_tensors": 11}, "its seal does not match"),
    ],
)
def test_a_certificate_is_believed_in_all_that_it_says_or_not_at_all(changes, reason):
    forged = {**CERTIFICATE, **changes}
    decision = decide(certificate=forged if "frozen_tensors" in changes else seal(forged))
    assert decision["verdict"] == "hold"
    assert reason in check(decision, "freeze")["reason"]
