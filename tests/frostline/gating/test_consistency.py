"""An evaluation that contradicts itself promotes nothing, even where each part alone would pass."""

import pytest

from frostline.freeze.certificate import seal

from tests.support.evaluations import CERTIFICATE, EVALUATION, champion, check, decide, evaluated, pairs, part, row

GOOD = EVALUATION["champion"]
CLASS = {"column": "true label", "value": "cat"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"per_class": [row("cat", 0, 500), row("dog", 0, 500)]}, "its recalls do not give the accuracy"),
        ({"per_class": [row("cat", 500, 500), row("dog", 450, 499)]}, "do not sum to examples"),
        ({"per_class": [row("cat", 475, 500), row("cat", 475, 500)]}, "is not about labels"),
        ({"labels": ["cat", "cat"]}, "labels: one stands there twice"),
        ({"confusion": [[475, 25], [0, 500]]}, "its diagonal does not give the recalls"),
        ({"confusion": [[475, 25], [25]]}, "is not labels by labels"),
        ({"confusion": [[475, 25], [24, 475]]}, "its rows are not the classes"),
        ({"slices": [part("camera", "field", 950, 1000), part("camera", "studio", 9, 10)]}, "more than there are"),
        ({"slices": [part("camera", "field", 1000, 1000)]}, "the right examples of a column are more"),
        ({"slices": [part("camera", "field", 5, 10)] * 2}, "slices: one stands there twice"),
        ({"skew": {"images": 1, "agreement": 0.997}}, "is no share of 1 examples"),
        ({"skew": {"images": 1001, "agreement": 1.0}}, "more images than there are"),
        ({"champion": champion(100, 10, 5, 885)}, "champion: it tells of another accuracy"),
        ({"champion": {**GOOD, "slices": []}}, "the examples of the classes are not those of all"),
        ({"champion": {**GOOD, "slices": [{**CLASS, **pairs(9, 1, 0, 0)}]}}, "the examples of the classes"),
        ({"champion": {**GOOD, "slices": [*GOOD["slices"], GOOD["slices"][1]]}}, "champion.slices: one stands there"),
        ({"champion": {**GOOD, "new_labels": ["dog"]}}, "labels that it does not know were compared"),
        ({"champion": {**GOOD, "model_digest": "new"}}, "the same model disagrees with itself"),
    ],
)
def test_parts_that_contradict_each_other_hold(changes, told):
    decision = decide({**EVALUATION, **changes}, min_accuracy=0.0)
    assert decision["verdict"] == "hold"
    assert told in check(decision, "evidence")["reason"]


def test_a_comparison_on_a_part_of_the_images_may_tell_of_fewer_that_are_right():
    counts = (840, 10, 5, 45)
    decision = decide(evaluated(champion=champion(*counts, excluded=100, made_with=100)))
    assert (check(decision, "evidence")["verdict"], decision["verdict"]) == ("pass", "promote")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"phases": [{"verified": False, "moved": []}]}, "frozen weights moved"),
        ({"phases": [{"verified": True, "moved": ["conv/0:kernel"]}]}, r"frozen weights moved (conv/0:kernel)"),
        ({"phases": []}, "the evidence cannot be used: phases"),
        ({"frozen_tensors": 11}, "its seal does not fit its content"),
    ],
)
def test_a_certificate_is_believed_in_all_that_it_says_or_not_at_all(changes, told):
    forged = {**CERTIFICATE, **changes}
    decision = decide(certificate=forged if "frozen_tensors" in changes else seal(forged))
    assert decision["verdict"] == "hold"
    assert told in check(decision, "freeze")["reason"]
