"""The record that test images were used, and how often they were used before."""

import hashlib

import pytest

from frostline import registry
from frostline.evaluation import reuse

from tests.support.attempts import attempt
from tests.support.registries import Models

RATE = {"value": 0.9, "low": 0.8, "high": 0.95, "method": "wilson"}


def rows(first, last):
    return [{"sha256": hashlib.sha256(f"image {number}".encode()).hexdigest()} for number in range(first, last)]


def use(root, images=(0, 40), model="new", champion=None, reference=None):
    return reuse.record(root, "digits", model, rows(*images), RATE, champion, reference)


def compared(alias, gain=-0.01, **fields):
    opponent = {"version": alias.version, "manifest_digest": alias.manifest_digest, "promotion": alias.promotion}
    return {**opponent, "comparable": True, "difference": {"value": gain}, **fields}


def test_the_first_evaluation_finds_no_other(root):
    found = use(root)
    counts = ("promotions", "attempts", "held", "looks", "reference_looks")
    assert [found.split[name] for name in counts] == [0, 0, 0, 0, 0]
    assert found.chain == []
    [one] = registry.attempts(root, "digits")
    assert (one.attempt, one.model_digest, one.images) == (found.attempt, "new", 40)
    assert (one.champion, one.reference, one.outcome) == (None, None, None)


def test_the_same_evaluation_again_does_not_count_itself(root):
    assert use(root).attempt == use(root).attempt
    assert use(root).split["looks"] == 0
    assert len(registry.attempts(root, "digits")) == 1


def test_each_other_evaluation_counts_whether_it_was_held_or_not_and_one_added_image_hides_none(root):
    for number in range(3):
        use(root, model=f"model {number}")
    found = use(root, images=(0, 41))
    assert (found.split["attempts"], found.split["held"]) == (3, 3)
    assert found.split["looks"] == pytest.approx(3 * 40 / 41)
    assert found.split["promotions"] == 0  # on exactly this split
    assert use(root, images=(40, 80), model="fresh").split["looks"] == pytest.approx(1 / 40)  # the added image
    assert use(root, images=(100, 140), model="fresh").split["looks"] == 0


def test_against_the_reference_only_the_decisions_against_the_same_one_count(root, tmp_path):
    make = Models(root, tmp_path / "made")
    one = make.promoted(b"one")
    two = make.promoted(b"two")
    for number in range(4):
        reference = compared(one if number < 3 else two, pinned=False)
        use(root, model=f"model {number}", champion=compared(two), reference=reference)
    found = use(root, champion=compared(two), reference=compared(one, pinned=True))
    assert (found.split["looks"], found.split["reference_looks"]) == (4, 3)
    last = next(one for one in registry.attempts(root, "digits") if one.model_digest == "new")
    assert (last.champion.version, last.champion.gain) == (2, -0.01)
    assert (last.reference.version, last.reference.pinned) == (1, True)


def test_a_comparison_that_could_not_be_made_has_no_gain(root, tmp_path):
    alias = Models(root, tmp_path / "made").promoted(b"one")
    opponent = {**compared(alias), "comparable": False, "reason": "it has other labels"}
    use(root, champion=opponent, reference={**opponent, "pinned": False})
    [one] = registry.attempts(root, "digits")
    assert (one.champion.gain, one.reference.gain) == (None, None)


def test_promotions_that_were_decided_before_evaluations_were_recorded_count_on_exactly_this_split(root, tmp_path):
    make = Models(root, tmp_path / "made")
    split = use(root).split["digest"]
    alias = registry.promote(root, make(b"one"), expected=None, reason="first", test_split=split)
    registry.promote(root, make(b"two"), expected=alias, reason="second", test_split="another")
    found = use(root, model="next")
    assert (found.split["promotions"], found.split["attempts"], found.split["held"]) == (1, 2, 1)
    assert found.split["looks"] == 2


def test_a_promoted_attempt_is_not_held_and_the_chain_shows_it(root, tmp_path):
    make = Models(root, tmp_path / "made")
    first = use(root)
    registry.conclude(root, "digits", first.attempt, version=1, becomes_reference=True)
    registry.promote(root, make(b"one"), expected=None, reason="first", attempt=first.attempt)
    found = use(root, model="next")
    assert (found.split["attempts"], found.split["held"]) == (1, 0)
    assert [(row["kind"], row["version"], row["images"]) for row in found.chain] == [("promoted", 1, 40)]


def test_the_evaluation_keeps_the_end_of_a_long_chain(root):
    for number in range(70):
        registry.begin(root, attempt(number, at=number % 60))
    assert len(use(root).chain) == 60
