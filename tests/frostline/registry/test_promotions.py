"""The alias, its history, and what promoting, rejecting and removing a version exclude."""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from frostline import registry, storage
from frostline.errors import ChampionChanged, RegistryError
from frostline.registry import objects, promotions


def test_the_first_promotion_expects_no_champion(root, make):
    version = make()
    assert registry.champion(root, "digits") is None
    alias = registry.promote(root, version, expected=None, reason="the first")
    assert (alias.version, alias.manifest_digest) == (1, version.manifest_digest)
    assert registry.champion(root, "digits") == alias
    assert registry.look_up(root, "registry:digits@champion") == registry.look_up(root, "registry:digits") == version


def test_a_promotion_holds_if_the_champion_changed_meanwhile(root, make):
    one, two, three = make(b"one"), make(b"two"), make(b"three")
    compared = registry.promote(root, one, expected=None, reason="first")
    serving = registry.promote(root, two, expected=compared, reason="second")
    for outdated, name in ((compared, "version 1"), (None, "no champion")):
        with pytest.raises(ChampionChanged) as caught:
            registry.promote(root, three, expected=outdated, reason="late")
        assert str(caught.value) == f"digits: the champion is version 2 now; version 3 was compared with {name}"
    assert registry.champion(root, "digits") == serving
    assert len(storage.list_files(storage.join(root, "digits/promotions"))) == 2


def test_there_and_back_is_a_change_too(root, make):
    one, two = make(b"one"), make(b"two")
    compared = registry.promote(root, one, expected=None, reason="first")
    again = registry.promote(root, one, expected=registry.promote(root, two, expected=compared, reason="2"), reason="3")
    assert again.manifest_digest == compared.manifest_digest
    with pytest.raises(ChampionChanged, match="the champion is version 1 now, promoted again since; version 2 was"):
        registry.promote(root, two, expected=compared, reason="compared with the first reign")


def test_one_of_many_promotions_wins(root, make):
    made = [make(str(number).encode()) for number in range(4)]

    def promote(version):
        try:
            return registry.promote(root, version, expected=None, reason="race")
        except ChampionChanged:
            return None

    with ThreadPoolExecutor(4) as pool:
        winners = [alias for alias in pool.map(promote, made) if alias]
    assert winners == [registry.champion(root, "digits")]
    assert [entry.version for entry in registry.history(root, "digits")] == [winners[0].version]


def recorded(root):
    files = storage.list_files(storage.join(root, "digits/promotions"))
    return [json.loads(storage.read_bytes(item.uri)) for item in files]


def test_every_promotion_is_recorded_once_and_in_order(root, make):
    alias = registry.promote(root, make(b"one"), expected=None, reason="first")
    registry.promote(root, make(b"two"), expected=alias, reason="better")
    told = [(entry["previous_version"], entry["version"], entry["reason"]) for entry in recorded(root)]
    assert told == [(None, 1, "first"), (1, 2, "better")]


def test_a_promotion_whose_writer_died_before_the_record_is_recorded_by_the_next(root, make):
    alias = registry.promote(root, make(b"one"), expected=None, reason="first")
    alias_uri = storage.join(root, "digits/aliases/champion.json")
    orphan = {
        **json.loads(storage.read_bytes(alias_uri)),
        "seal": None,
        "promotion": "20000101T000000000000-dead",
        "reason": "orphan",
    }
    del orphan["seal"]
    storage.write_bytes(alias_uri, json.dumps(orphan).encode())
    alias = registry.champion(root, "digits")
    registry.promote(root, make(b"two"), expected=alias, reason="next")
    assert sorted(entry["reason"] for entry in recorded(root)) == ["first", "next", "orphan"]


def test_the_history_knows_a_promotion_that_was_not_recorded_yet(root, make):
    make.promoted(b"one", b"two")
    before = registry.history(root, "digits")
    assert [(entry.previous_version, entry.version, entry.kind) for entry in before] == [
        (None, 1, "promotion"),
        (1, 2, "promotion"),
    ]
    storage.delete(storage.list_files(storage.join(root, "digits/promotions"))[-1].uri)
    assert registry.history(root, "digits") == before
    assert registry.history(root, "another") == []


def test_the_history_is_in_the_order_of_the_changes_whatever_clocks_say(root, make, monkeypatch):
    class Backwards(objects.datetime.datetime):
        years = 2030

        @classmethod
        def now(cls, zone):
            cls.years -= 1
            return cls(cls.years, 1, 1, tzinfo=zone)

    monkeypatch.setattr(objects.datetime, "datetime", Backwards)
    make.promoted(*(str(number).encode() for number in range(12)))
    assert [entry.version for entry in registry.history(root, "digits")] == list(range(1, 13))


def test_promotions_are_counted_by_the_test_split_that_decided_and_rollbacks_are_not(root, make):
    one = make(b"one")
    alias = registry.promote(root, one, expected=None, reason="1", test_split="a")
    alias = registry.promote(root, make(b"two"), expected=alias, reason="2", test_split="b")
    registry.promote(root, make(b"three"), expected=alias, reason="3", kind="approval", approver="Ada", test_split="a")
    registry.rollback(root, "digits", to=1, approver="Ada", reason="worse than thought")
    assert [registry.promotions_decided_on(root, "digits", split) for split in ("a", "b", "c")] == [2, 1, 0]
    assert registry.promotions_decided_on(root, "another", "a") == 0


def test_where_a_version_is_rejected_in_the_middle_of_its_promotion_readers_see_the_alias(root, make, monkeypatch):
    alias, two, record = make.promoted(b"one"), make(b"two"), promotions.record

    def reject_first(*arguments):
        monkeypatch.setattr(promotions, "record", record)
        assert registry.reject(root, two, reason="another push could not load it")
        return record(*arguments)

    monkeypatch.setattr(promotions, "record", reject_first)
    registry.promote(root, two, expected=alias, reason="better")
    assert registry.look_up(root, "registry:digits@champion") == registry.look_up(root, "registry:digits/2") == two
    assert registry.states(root, "digits") == {1: "earlier champion", 2: "champion"}
    registry.rollback(root, "digits", approver="Ada", reason="it was rejected")
    with pytest.raises(RegistryError, match=r"version 2 in .* was rejected: another push"):
        registry.look_up(root, "registry:digits/2")


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        ("aliases/champion.json", {"previous_version": {}}),
        ("aliases/champion.json", {"promotion": "../../x"}),
        ("standings/1.json", {"compared_with": [1]}),
        ("standings/1.json", {"standing": "good"}),
        ("claims/1.json", {"claimed_at": "soon"}),
        ("claims/1.json", {"claimed_at": "2020-01-01T00:00:00"}),
        ("versions/1/manifest.json", {"files": {}}),
        ("aliases/champion.json", None),
        ("standings/1.json", None),
    ],
)
def test_whatever_somebody_wrote_there_is_told_in_one_line(root, make, place, changes):
    make.promoted(b"one", b"two")
    uri = storage.join(root, "digits", place)
    document = json.loads(storage.read_bytes(uri))
    document.pop("seal", None)  # somebody makes a new one, or leaves it out
    data = json.dumps({**document, **changes}).encode() if changes else b"[" * 100_000
    storage.write_bytes(uri, data)
    for look in (
        lambda: registry.states(root, "digits"),
        lambda: registry.prune(root, "digits", keep=1),
        lambda: registry.rollback(root, "digits", to=1, approver="Ada", reason="x"),
    ):
        with contextlib.suppress(RegistryError):
            look()
    with pytest.raises(RegistryError) as caught:
        registry.prune(root, "digits", keep=1)
        registry.states(root, "digits")
    assert str(caught.value).startswith(uri)
    assert "\n" not in str(caught.value)


def test_what_was_rejected_is_never_promoted_and_what_serves_is_never_rejected(root, make):
    alias = make.promoted(b"one")
    two = make(b"two")
    registry.nominate(root, two, compared_with=alias)
    assert registry.reject(root, two, reason="it does not load")
    for attempt in (registry.promote, registry.nominate):
        named = {"expected": alias, "reason": "force"} if attempt is registry.promote else {"compared_with": alias}
        with pytest.raises(RegistryError, match="digits version 2 was rejected: it does not load"):
            attempt(root, two, **named)
    assert not registry.reject(root, registry.look_up(root, "registry:digits/1"), reason="a broken machine")
    assert registry.look_up(root, "registry:digits").number == 1
    assert registry.champion(root, "digits") == alias


def test_a_comparison_with_an_earlier_champion_does_not_replace_a_later_one(root, make):
    first = make.promoted(b"one")
    waiting = make(b"three")
    serving = make.promoted(b"two")
    registry.nominate(root, waiting, compared_with=serving)
    with pytest.raises(ChampionChanged):
        registry.nominate(root, waiting, compared_with=first)
    assert registry.standing(root, "digits", waiting.number).compared_with == serving


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"schema": "frostline/alias/v1", "version": "1"}'])
def test_a_malformed_alias_is_named(root, data):
    uri = storage.join(root, "digits/aliases/champion.json")
    storage.write_bytes(uri, data)
    with pytest.raises(RegistryError, match=r"champion\.json: "):
        registry.champion(root, "digits")
