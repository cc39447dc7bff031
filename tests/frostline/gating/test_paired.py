"""The comparison that the checks need: counts that add up, and a difference that follows from them."""

import pytest
from pydantic import ValidationError

from frostline.gating import paired

from tests.support.evaluations import champion, pairs


def test_the_gain_is_the_difference_of_the_accuracies():
    assert paired.Pairs.of(pairs(940, 10, 5, 45)).gain == pytest.approx(0.95 - 0.945)
    assert paired.Champion.of(champion(100, 1, 9, 10)).gain == pytest.approx(-8 / 120)
    assert [one.gain for one in paired.ChampionSlices.of(champion(9, 0, 1, 0)).slices] == [-0.1, -0.1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"both_wrong": 46}, "the four counts do not sum to examples"),
        ({"difference": {"low": 0.0, "value": 0.006, "high": 0.1}}, "the difference does not follow from the counts"),
        ({"made_with": 1}, "made_with is larger than excluded"),
        ({"version": "3"}, "version"),
        ({"new_labels": None}, "new_labels"),
    ],
)
def test_a_comparison_that_contradicts_itself_is_refused(change, reason):
    with pytest.raises(ValidationError, match=reason):
        paired.Champion.of({**champion(940, 10, 5, 45), **change})


def test_a_comparison_that_was_not_possible_has_a_reason():
    lost = paired.Comparable.of({"comparable": False, "reason": "other labels"})
    assert (lost.comparable, lost.reason) == (False, "other labels")
    with pytest.raises(ValidationError):
        paired.Comparable.of({"comparable": 0})
