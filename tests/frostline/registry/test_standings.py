"""What is known about a version: written as one JSON object, final where it says so, changed by compare-and-swap."""

import json
import re

import pytest

from frostline import registry, storage
from frostline.errors import RegistryError
from frostline.registry import standings


def stored(root, number):
    return json.loads(storage.read_bytes(storage.join(root, "digits/standings", f"{number}.json")))


def test_a_standing_has_these_keys_in_this_order(root, make):
    alias = make.promoted(b"one")
    version = make(b"two")
    registry.nominate(root, version, compared_with=alias, test_split="a")
    compared = {
        "version": 1,
        "manifest_digest": alias.manifest_digest,
        "promotion": alias.promotion,
    }
    found = stored(root, 2)
    assert re.fullmatch("[0-9a-f]{64}", found.pop("seal"))
    assert list(found.items()) == [
        ("schema", "frostline/standing/v1"),
        ("model", "digits"),
        ("version", 2),
        ("standing", "proven"),
        ("manifest_digest", version.manifest_digest),
        ("compared_with", compared),
        ("kind", "promotion"),
        ("test_split", "a"),
        ("attempt", None),
        ("reason", ""),
    ]
    assert list(stored(root, 2)["compared_with"]) == list(compared)


def test_a_version_has_no_standing_before_its_proof(root, make):
    make(b"one")
    assert registry.standing(root, "digits", 1) is None
    assert standings.read_standing(root, "digits", 1) == (None, storage.ABSENT)


def test_a_standing_that_changed_since_it_was_read_is_not_overwritten(root, make):
    version = make(b"one")
    _, generation = standings.read_standing(root, "digits", 1)
    wanted = standings.of_version(version, standings.REJECTED, reason="it does not load")
    assert standings.swap(root, wanted, generation)
    assert not standings.swap(root, standings.of_version(version, standings.PROVEN), generation)
    assert registry.standing(root, "digits", 1) == wanted


def test_a_removed_version_stays_removed(root, make):
    version = make(b"one")
    assert standings.mark_removed(root, version, *standings.read_standing(root, "digits", 1))
    before = stored(root, 1)
    assert standings.mark_removed(root, version, *standings.read_standing(root, "digits", 1))
    assert stored(root, 1) == before
    assert (before["standing"], before["reason"]) == ("removed", "by prune")


def test_a_removal_that_was_decided_before_a_nomination_does_not_happen(root, make):
    """Each of the two reads the standing first: only one of them can change what it read."""
    alias = make.promoted(b"one")
    version = make(b"two")
    found, generation = standings.read_standing(root, "digits", 2)
    registry.nominate(root, version, compared_with=alias)
    assert not standings.mark_removed(root, version, found, generation)
    assert registry.promote(root, version, expected=alias, reason="better").version == 2

    third = make(b"three")
    assert standings.mark_removed(root, third, *standings.read_standing(root, "digits", 3))
    with pytest.raises(RegistryError, match="digits version 3 was removed"):
        registry.promote(root, third, expected=registry.champion(root, "digits"), reason="late")
