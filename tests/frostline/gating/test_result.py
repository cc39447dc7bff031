"""Results: numbers in the words that several checks use."""

import pytest

from frostline.gating.result import images_needed, percent, points


@pytest.mark.parametrize(("value", "text"), [(0.95, "95 %"), (0.99746, "99.75 %"), (1.0, "100 %"), (0.0, "0 %")])
def test_a_proportion_is_a_percentage(value, text):
    assert percent(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.005, "+0.50 points"), (-0.38, "-38.00 points"), (0.0, "+0.00 points")])
def test_a_difference_has_a_sign(value, text):
    assert points(value) == text


def test_only_an_inconclusive_result_says_how_many_images_are_needed():
    assert images_needed("inconclusive", 2766) == (
        "; about 2,766 test images are needed to decide, if the rates stay the same"
    )
    assert images_needed("inconclusive", None) == "; at the observed rates no number of test images would be enough"
    assert images_needed("pass", 3) == images_needed("fail", None) == ""
