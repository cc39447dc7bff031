"""The reference: it does not move with the champion, only by evidence or by a person."""

import pytest

from frostline import registry, storage
from frostline.errors import ChampionChanged, ConfigError, RegistryError

from tests.support.attempts import Chain, against, attempt

WHO = {"approver": "Ada", "reason": "the one of the audit"}


@pytest.fixture
def chain(root, make):
    return Chain(root, make)


def test_there_is_none_before_the_first_promotion(root, make):
    make(b"one")
    assert registry.references(root, "digits") == []


def test_the_first_champion_stays_the_reference_while_others_replace_each_other(chain):
    for content in (b"one", b"two", b"three"):
        chain.promote(content)
    # what follows the first takes its place only if it is gone
    assert chain.references() == [(1, False), (2, False), (3, False)]


def test_a_champion_that_was_shown_to_be_better_becomes_the_reference(chain):
    chain.promote(b"one")
    chain.promote(b"two")
    chain.promote(b"three", better=True)
    assert chain.references() == [(3, False)]
    chain.promote(b"four")
    assert chain.references() == [(3, False), (4, False)]


def test_it_has_the_evaluation_that_it_was_promoted_by(root, chain):
    chain.promote(b"one")
    chain.promote(b"two")
    first, second = registry.references(root, "digits")
    assert (first.attempt.model_digest, second.attempt.model_digest) == ("model b'one'", "model b'two'")
    assert first.promotion == registry.history(root, "digits")[0].promotion


def test_after_a_rollback_it_is_what_it_was_when_that_version_was_promoted(root, chain):
    chain.promote(b"one")
    chain.promote(b"two")
    chain.promote(b"three", better=True)
    registry.rollback(root, "digits", **WHO)
    assert chain.references() == [(1, False), (2, False)]
    chain.promote(b"four")
    assert chain.references() == [(1, False), (2, False), (4, False)]


def test_promotions_without_a_record_of_their_evaluation_do_not_move_it(root, make, chain):
    make.promoted(b"one", b"two")
    chain.promote(b"three")
    assert chain.references() == [(1, False), (2, False), (3, False)]


def test_a_pinned_version_is_the_reference_whatever_is_promoted_until_it_is_unpinned(root, chain):
    for content in (b"one", b"two", b"three"):
        chain.promote(content)
    record = registry.pin(root, "digits", 2, **WHO)
    assert (record.version, record.approver, record.reason) == (2, "Ada", "the one of the audit")
    assert chain.references() == [(2, True)]
    assert registry.references(root, "digits")[0].attempt.model_digest == "model b'two'"
    chain.promote(b"four")
    assert chain.references() == [(2, True)]
    registry.pin(root, "digits", 3, **WHO)
    assert chain.references() == [(3, True)]
    registry.pin(root, "digits", None, **WHO)
    # four was compared with the pinned two, and evidence goes on from there
    assert chain.references() == [(2, False), (3, False), (4, False)]
    with pytest.raises(RegistryError, match="has no pinned reference of digits"):
        registry.pin(root, "digits", None, **WHO)


def test_a_candidate_can_be_pinned(root, make, chain):
    alias = chain.promote(b"one")
    one = attempt("candidate", champion=alias)
    registry.begin(root, one)
    registry.nominate(root, make(b"two"), compared_with=alias, attempt=one.attempt)
    registry.pin(root, "digits", 2, **WHO)
    [reference] = registry.references(root, "digits")
    assert (reference.version, reference.promotion, reference.attempt.attempt) == (2, "", one.attempt)


@pytest.mark.parametrize("what", ["missing", "rejected", "removed", "damaged"])
def test_only_what_can_be_compared_is_pinned(root, make, chain, what):
    chain.promote(b"one")
    version = make(b"two")
    if what == "rejected":
        registry.reject(root, version, reason="it does not load")
    if what == "removed":
        make(b"three")
        make.backdate(2)
        assert [one.number for one in registry.prune(root, "digits", keep=1)] == [2]
    if what == "damaged":
        storage.write_bytes(storage.join(version.uri, "weights"), b"xxx")
    with pytest.raises(RegistryError, match="is not what was published" if what == "damaged" else "has no version"):
        registry.pin(root, "digits", 7 if what == "missing" else 2, **WHO)
    assert chain.references() == [(1, False)]


@pytest.mark.parametrize("words", [{"approver": " ", "reason": "x"}, {"approver": "Ada", "reason": "a\nb"}])
def test_who_and_why_are_written_down(root, chain, words):
    chain.promote(b"one")
    with pytest.raises(ConfigError, match="printable characters on one line"):
        registry.pin(root, "digits", 1, **words)


def test_a_version_is_not_promoted_on_a_comparison_with_another_reference(root, make, chain):
    alias = chain.promote(b"one")
    compared = attempt("late", champion=alias, reference=alias)
    registry.require_same(root, "digits", 9, compared)
    registry.pin(root, "digits", 1, **WHO)
    with pytest.raises(ChampionChanged, match="the reference is version 1 now; version 9 was compared with version 1"):
        registry.require_same(root, "digits", 9, compared)
    pinned = attempt("later", champion=alias, reference=alias).model_copy(
        update={"reference": registry.Against(**against(alias, pinned=True))}
    )
    registry.require_same(root, "digits", 9, pinned)
    registry.pin(root, "digits", None, **WHO)
    with pytest.raises(ChampionChanged, match="the reference is no longer pinned"):
        registry.require_same(root, "digits", 9, pinned)


def test_a_candidate_is_not_approved_once_another_reference_is_pinned(root, make, chain):
    alias = chain.promote(b"one")
    one = attempt("candidate", champion=alias, reference=alias)
    registry.begin(root, one)
    registry.nominate(root, make(b"two"), compared_with=alias, attempt=one.attempt)
    registry.pin(root, "digits", 1, **WHO)
    with pytest.raises(ChampionChanged, match="run the pipeline again to compare them"):
        registry.approve(root, "digits", 2, **WHO)
    registry.pin(root, "digits", None, **WHO)
    assert registry.approve(root, "digits", 2, **WHO).version == 2
    assert registry.history(root, "digits")[-1].attempt == one.attempt
