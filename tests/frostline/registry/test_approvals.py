"""What people decide: candidates are approved against the champion they were compared with; rollbacks go back."""

import pytest

from frostline import registry, storage
from frostline.errors import ChampionChanged, ConfigError, RegistryError

WHO = {"approver": "Ada", "reason": "looked at it"}


def test_a_candidate_is_approved_by_name_and_with_a_reason(root, make):
    alias = make.promoted(b"one")
    registry.nominate(root, make(b"two"), compared_with=alias, test_split="a")
    assert registry.states(root, "digits") == {1: "champion", 2: "candidate"}
    after = registry.approve(root, "digits", 2, approver="Ada Łovelace", reason="better on Mondays")
    assert registry.champion(root, "digits") == after
    last = registry.history(root, "digits")[-1]
    assert (last.kind, last.version, last.previous_version) == ("approval", 2, 1)
    assert (last.approver, last.reason, last.test_split) == ("Ada Łovelace", "better on Mondays", "a")


def test_a_candidate_of_another_champion_stays_and_the_message_says_what_to_do(root, make):
    alias = make.promoted(b"one")
    registry.nominate(root, make(b"two"), compared_with=alias)
    serving = make.promoted(b"three")
    with pytest.raises(ChampionChanged) as caught:
        registry.approve(root, "digits", 2, **WHO)
    assert str(caught.value) == (
        "digits: the champion is version 3 now; version 2 was compared with version 1; "
        "run the pipeline again to compare them"
    )
    assert registry.champion(root, "digits") == serving
    assert registry.states(root, "digits") == {1: "earlier champion", 2: "superseded", 3: "champion"}


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "a\x1b[2J", "x" * 501, "\ud800"])
@pytest.mark.parametrize("field", ["approver", "reason"])
def test_who_and_why_are_one_printable_line_each(root, make, field, text):
    alias = make.promoted(b"one", b"two")
    registry.nominate(root, make(b"three"), compared_with=alias)
    for decide in (
        lambda **who: registry.approve(root, "digits", 3, **who),
        lambda **who: registry.rollback(root, "digits", **who),
    ):
        with pytest.raises(ConfigError, match=f"--{field}: received .*; expected 1 to 500 printable characters"):
            decide(**{**WHO, field: text})
    assert registry.champion(root, "digits") == alias


def test_what_may_not_be_approved_is_refused_and_the_alias_stays(root, make):
    alias = make.promoted(b"one")
    registry.nominate(root, make(b"two", verdict="hold"), compared_with=alias)
    make(b"three")
    registry.reject(root, make(b"four"), reason="it does not load")
    for number, message in (
        (1, "digits version 1 is already the champion"),
        (2, "received the verdict 'hold'; only 'promote' can be approved"),
        (3, "digits version 3 is not proven; run its push again"),
        (4, "digits version 4 was rejected: it does not load"),
        (5, r"has no version 5 of digits; it has \[1, 2, 3, 4\]"),
    ):
        with pytest.raises(RegistryError, match=message):
            registry.approve(root, "digits", number, **WHO)
    assert registry.champion(root, "digits") == alias
    assert registry.states(root, "digits") == {1: "champion", 2: "candidate", 3: "unproven", 4: "rejected"}


def test_a_candidate_whose_manifest_changed_since_its_proof_is_not_approved(root, make):
    alias = make.promoted(b"one")
    registry.nominate(root, make(b"two"), compared_with=alias)
    storage.write_bytes(storage.join(root, "digits/versions/2/manifest.json"), manifest_of(root, 2))
    with pytest.raises(RegistryError, match="its manifest is not that of the version that was proven"):
        registry.approve(root, "digits", 2, **WHO)
    assert registry.champion(root, "digits") == alias


def damage(root, number, how):
    uri = storage.join(root, "digits/versions", str(number), "model.keras")
    if how == "missing":
        storage.delete(uri)
    else:
        storage.write_bytes(uri, storage.read_bytes(uri)[::-1])


@pytest.mark.parametrize("how", ["missing", "changed"])
def test_nobody_makes_a_damaged_version_the_champion(root, make, how):
    alias = make.promoted(b"one", b"two")
    registry.nominate(root, make(b"three"), compared_with=alias)
    damage(root, 1, how)
    damage(root, 3, how)
    told = "is missing" if how == "missing" else "is not what was published"
    with pytest.raises(RegistryError, match=rf"versions/3: model\.keras {told}; it cannot become the champion"):
        registry.approve(root, "digits", 3, **WHO)
    with pytest.raises(RegistryError, match=rf"versions/1: model\.keras {told}; it cannot become the champion"):
        registry.rollback(root, "digits", **WHO)
    assert registry.champion(root, "digits") == alias


def test_a_candidate_still_waits_in_a_copy_of_the_registry(root, make):
    registry.nominate(root, make(b"two"), compared_with=make.promoted(b"one"))
    copy = f"{root}-restored"
    for name, data in make.stored().items():
        storage.write_bytes(storage.join(copy, "digits", name), data)
    assert registry.states(copy, "digits") == {1: "candidate", 2: "champion"}
    assert registry.approve(copy, "digits", 1, **WHO).version == 1
    assert registry.rollback(copy, "digits", **WHO).version == 2
    assert registry.champion(root, "digits").version == 2


def test_a_rollback_goes_to_the_champion_before_in_one_recorded_change(root, make):
    make.promoted(b"one", b"two")
    after = registry.rollback(root, "digits", approver="Ada", reason="customers complain")
    assert after.version == registry.look_up(root, "registry:digits").number == 1
    last = registry.history(root, "digits")[-1]
    assert (last.kind, last.version, last.previous_version) == ("rollback", 1, 2)
    assert (last.approver, last.reason, last.test_split) == ("Ada", "customers complain", None)
    assert registry.states(root, "digits") == {1: "champion", 2: "earlier champion"}


def test_a_second_rollback_goes_further_back_and_not_to_what_was_rolled_back_from(root, make):
    make.promoted(b"one", b"two", b"three")
    assert [registry.rollback(root, "digits", **WHO).version for _ in range(2)] == [2, 1]
    told = r"digits version 1 has no previous champion; choose another one with --to: \[2, 3\]"
    with pytest.raises(RegistryError, match=told):
        registry.rollback(root, "digits", **WHO)


def test_a_rollback_names_any_earlier_champion_and_nothing_else(root, make):
    alias = make.promoted(b"one", b"two", b"three")
    registry.nominate(root, make(b"four"), compared_with=alias)
    for number, message in (
        (3, "digits version 3 is already the champion"),
        (4, r"digits version 4 was never the champion; champions were \[1, 2, 3\]"),
        (9, "digits version 9 was never the champion"),
    ):
        with pytest.raises(RegistryError, match=message):
            registry.rollback(root, "digits", to=number, **WHO)
    assert registry.champion(root, "digits") == alias
    assert registry.rollback(root, "digits", to=1, **WHO).version == 1
    assert registry.rollback(root, "digits", to=3, **WHO).version == 3
    with pytest.raises(RegistryError, match="has no champion of another"):
        registry.rollback(root, "another", **WHO)


def test_a_rollback_passes_over_what_was_rejected_or_changed_since(root, make):
    make.promoted(b"one", b"two", b"three", b"four")
    registry.reject(root, registry.look_up(root, "registry:digits/3"), reason="it does not load")
    storage.write_bytes(storage.join(root, "digits/versions/2/manifest.json"), manifest_of(root, 2))
    with pytest.raises(RegistryError, match="digits version 3 was rejected"):
        registry.rollback(root, "digits", to=3, **WHO)
    with pytest.raises(RegistryError, match="digits version 2 was removed, or is not what was promoted"):
        registry.rollback(root, "digits", to=2, **WHO)
    assert registry.previous_champion(root, "digits") == 1
    assert registry.rollback(root, "digits", **WHO).version == 1


def manifest_of(root, number):
    """A manifest that says the same in other bytes."""
    return storage.read_bytes(storage.join(root, "digits/versions", str(number), "manifest.json")) + b"\n"


def test_a_rollback_that_died_makes_no_candidate(root, make):
    alias = make.promoted(b"one", b"two", b"three")
    version = registry.look_up(root, "registry:digits/1")
    registry.nominate(root, version, compared_with=alias, kind="rollback")  # as far as it came
    assert registry.states(root, "digits") == {1: "earlier champion", 2: "earlier champion", 3: "champion"}
    with pytest.raises(RegistryError, match="version 1 is not proven; run its push again"):
        registry.approve(root, "digits", 1, **WHO)
    assert registry.rollback(root, "digits", to=1, **WHO).version == 1


def test_a_rollback_ends_the_wait_of_a_candidate(root, make):
    alias = make.promoted(b"one", b"two")
    registry.nominate(root, make(b"three"), compared_with=alias)
    registry.rollback(root, "digits", **WHO)
    with pytest.raises(ChampionChanged):
        registry.approve(root, "digits", 3, **WHO)
