"""The chain: all that happened to the champion, in order, with what each decision rested on."""

import pytest

from frostline import registry

from tests.support.attempts import Chain, attempt

WHO = {"approver": "Ada", "reason": "looked at it"}


@pytest.fixture
def chain(root, make):
    return Chain(root, make)


def test_promotions_and_attempts_that_led_to_none_are_in_one_chain(root, make, chain, monkeypatch):
    times = iter(range(10, 60))
    monkeypatch.setattr("frostline.registry.promotions.now", lambda: f"2026-01-01T00:00:{next(times)}+00:00")
    chain.promote(b"one")
    chain.promote(b"two")
    held = chain.hold("worse")
    monkeypatch.setattr("frostline.registry.reference.now", lambda: "2026-01-01T00:01:00+00:00")
    registry.rollback(root, "digits", **WHO)
    registry.pin(root, "digits", 1, **WHO)
    registry.begin(root, attempt("died", at=5))
    rows = registry.chain(root, "digits")
    assert [(row["kind"], row["version"]) for row in rows] == [
        ("held", None),
        ("not decided", None),
        ("promoted", 1),
        ("promoted", 2),
        ("rolled back", 1),
        ("pinned", 1),
    ]
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    by_kind = {row["kind"]: row for row in rows}
    assert by_kind["held"]["reason"] == "worse"
    assert by_kind["held"]["images"] == held.images == 40
    assert by_kind["held"]["accuracy"] == {"value": 0.9, "low": 0.8, "high": 0.95}
    two = rows[3]
    assert (two["champion"], two["reference"]) == ({"version": 1, "gain": 0.0}, {"version": 1, "gain": 0.0})
    assert (by_kind["rolled back"]["approver"], by_kind["rolled back"]["accuracy"]) == ("Ada", None)
    assert (by_kind["pinned"]["approver"], by_kind["pinned"]["reason"]) == ("Ada", "looked at it")


def test_a_candidate_that_is_approved_is_a_promotion_with_its_evaluation_and_its_approver(root, make, chain):
    alias = chain.promote(b"one")
    one = attempt("candidate", at=9, champion=alias, reference=alias)
    registry.begin(root, one)
    registry.nominate(root, make(b"two"), compared_with=alias, attempt=one.attempt)
    registry.conclude(root, "digits", one.attempt, outcome="candidate", reason="waits", version=2)
    row = next(row for row in registry.chain(root, "digits") if row["version"] == 2)
    assert (row["kind"], row["approver"], row["images"]) == ("candidate", None, 40)
    registry.approve(root, "digits", 2, **WHO)
    [row] = [row for row in registry.chain(root, "digits") if row["version"] == 2]
    assert (row["kind"], row["approver"], row["reason"], row["images"]) == ("promoted", "Ada", "looked at it", 40)


def test_there_is_no_chain_of_a_model_that_is_not_there(root):
    assert registry.chain(root, "digits") == []
