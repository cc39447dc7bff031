"""Prune: the oldest go, whatever anybody may still need stays, and no moment shows half of a version."""

import json
import time

import pytest

from frostline import registry, storage
from frostline.errors import ConfigError, RegistryError, StorageError
from frostline.registry import retention

from tests.support import pushes
from tests.support.registries import before_manifest


def files(root, number):
    """What is left of a number, the mark of its removal apart."""
    uri = storage.join(root, "digits/versions", str(number))
    names = [item.uri.removeprefix(f"{uri}/") for item in storage.list_files(uri)]
    return [
        name
        for name in names
        if name != "manifest.json" or number in (v.number for v in registry.versions(root, "digits"))
    ]


def test_the_oldest_go_and_champion_predecessor_reference_and_candidate_stay(root, make):
    alias = make.promoted(b"1", b"2", b"2b", b"3", b"4")
    registry.nominate(root, make(b"5"), compared_with=alias)
    for content in (b"6", b"7"):
        registry.nominate(root, make(content), compared_with=alias)
    told = registry.prune(root, "digits", keep=1, dry_run=True)
    assert make.numbers() == [1, 2, 3, 4, 5, 6, 7, 8]
    removed = registry.prune(root, "digits", keep=1)
    assert removed == told
    assert [(one.number, one.state, len(one.files)) for one in removed] == [
        (2, "earlier champion", 5),
        (3, "earlier champion", 5),
    ]
    assert make.numbers() == [1, 4, 5, 6, 7, 8]  # the first champion is what new models are compared with
    assert files(root, 2) == files(root, 3) == []
    assert registry.rollback(root, "digits", approver="Ada", reason="worse").version == 4
    with pytest.raises(RegistryError, match="version 2 was removed"):
        registry.rollback(root, "digits", to=2, approver="Ada", reason="worse")


def test_a_pinned_reference_stays_and_what_it_replaces_goes(root, make):
    make.promoted(b"1", b"2", b"3", b"4", b"5")
    pinned(root, 2)
    assert [one.number for one in registry.prune(root, "digits", keep=1)] == [1, 3]
    assert make.numbers() == [2, 4, 5]


def pinned(root, number):
    registry.pin(root, "digits", number, approver="Ada", reason="the one of the audit")


def test_the_newest_stay_whatever_they_are(root, make):
    make.promoted(b"1")
    for content in (b"2", b"3", b"4", b"5"):
        registry.reject(root, make(content), reason="it does not load")
    assert [one.number for one in registry.prune(root, "digits", keep=2)] == [2, 3]
    assert registry.states(root, "digits") == {1: "champion", 4: "rejected", 5: "rejected"}
    assert registry.prune(root, "digits", keep=2) == []


def test_a_version_that_its_push_is_proving_stays_for_a_day(root, make):
    make.promoted(b"1")
    make(b"2")
    make(b"3")
    assert registry.prune(root, "digits", keep=1) == []
    make.backdate(2)
    assert [(one.number, one.state) for one in registry.prune(root, "digits", keep=1)] == [(2, "unproven")]


def test_what_a_dead_publisher_left_goes_after_a_day_and_its_number_never_serves(root, make, monkeypatch):
    def die(number):
        raise StorageError("killed")

    with monkeypatch.context() as patch:
        before_manifest(patch, die)
        with pytest.raises(StorageError):
            make(b"1")
    assert registry.prune(root, "digits", keep=1) == []
    make.backdate(1)
    [removal] = registry.prune(root, "digits", keep=1, dry_run=True)
    assert (removal.number, removal.state, len(removal.files)) == (1, "abandoned", 5)
    assert len(files(root, 1)) == 5
    assert registry.prune(root, "digits", keep=1) == [removal]
    assert files(root, 1) == []
    assert registry.prune(root, "digits", keep=1) == []
    assert make(b"1").number == 2


def test_a_version_whose_late_push_goes_on_is_not_pruned_under_it(root, make, monkeypatch):
    def die(number):
        raise StorageError("killed")

    make.promoted(b"1")
    with monkeypatch.context() as patch:
        before_manifest(patch, die)
        with pytest.raises(StorageError):
            make(b"2")
    make.backdate(1, 2)
    assert make(b"2").number == 2  # a day later; its proof comes next
    make(b"3")
    assert registry.prune(root, "digits", keep=1) == []
    make.backdate(2)
    assert make(b"2").number == 2  # finished long ago, and proven only now
    assert registry.prune(root, "digits", keep=1) == []


def test_pruning_a_model_that_is_not_there_is_an_error(root, make):
    make(b"1")
    with pytest.raises(RegistryError, match="there is no version of 'digit'"):
        registry.prune(root, "digit", keep=1)


def test_what_a_publisher_was_writing_when_it_was_killed_goes_too(tmp_path, make, monkeypatch):
    make.root = str(tmp_path)
    make.promoted(b"1")
    left = tmp_path / "digits" / "versions" / "1" / "variables" / f".variables.index.{'0123' * 8}.partial"
    left.write_bytes(b"half of")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)  # a day later, nobody is writing it any more
    registry.prune(make.root, "digits", keep=1, dry_run=True)
    assert left.exists()
    registry.prune(make.root, "digits", keep=1)
    assert not left.exists()
    assert make.numbers() == [1]


def test_a_publisher_still_at_work_after_a_day_ends_in_a_whole_version(root, make, monkeypatch):
    """Prune comes between its last file and its manifest."""
    pruned = []

    def prune_first(number):
        if not pruned:
            make.backdate(number)
            pruned.extend(registry.prune(root, "digits", keep=1))

    before_manifest(monkeypatch, prune_first)
    with pushes.Reader(root) as reader:
        version = make(b"1")
    assert reader.seen == []
    assert ([one.number for one in pruned], version.number) == ([1], 2)
    assert make.numbers() == [2]
    assert len(files(root, 2)) == 6


@pytest.mark.parametrize("call", [1, 2, 3, 5])
def test_a_prune_that_dies_is_finished_by_the_next(root, make, monkeypatch, call):
    """After the mark, after the removal of the manifest, and among the files."""
    make.promoted(b"1", b"2", b"3", b"4")
    pinned(root, 4)
    calls = []

    def counted(original):
        def function(*arguments, **named):
            calls.append(1)
            if len(calls) > call:
                raise StorageError("killed")
            return original(*arguments, **named)

        return function

    with monkeypatch.context() as patch:
        for name in ("write_bytes", "delete"):
            patch.setattr(storage, name, counted(getattr(storage, name)))
        with pushes.Reader(root) as reader, pytest.raises(StorageError, match="killed"):
            registry.prune(root, "digits", keep=2)
    assert reader.seen == []
    assert registry.champion(root, "digits").version == 4
    registry.prune(root, "digits", keep=4)
    assert files(root, 1) == []
    registry.prune(root, "digits", keep=2)
    assert make.numbers() == [3, 4]
    assert files(root, 2) == []


def test_readers_and_promotions_never_meet_half_of_a_version_while_prune_runs(root, make):
    with pushes.Reader(root) as reader:
        for number in range(6):
            make.promoted(str(number).encode())
            registry.prune(root, "digits", keep=1)
    assert reader.seen == []
    assert reader.looks > 1
    assert make.numbers() == [1, 5, 6]


def test_a_removed_model_that_is_pushed_again_gets_a_new_number(root, make):
    make.promoted(b"1", b"2", b"3")
    pinned(root, 3)
    registry.prune(root, "digits", keep=1)
    assert make(b"1").number == 4
    assert make.numbers() == [2, 3, 4]
    removed = json.loads(storage.read_bytes(storage.join(root, "digits/versions/1/manifest.json")))
    assert (removed["schema"], removed["version"]) == ("frostline/removed/v1", 1)


def test_a_version_that_is_promoted_at_the_moment_when_prune_decides_stays(root, make, monkeypatch):
    """Compared again with the champion that serves now, after prune saw that it was compared with an earlier one."""
    alias = make.promoted(b"1")
    superseded = make(b"2")
    registry.nominate(root, superseded, compared_with=alias)
    alias = make.promoted(b"3", b"4")
    pinned(root, 4)
    mark = retention.mark_removed

    def promoted_first(*arguments):
        if arguments[1] == superseded:
            registry.promote(root, superseded, expected=alias, reason="better after all")
        return mark(*arguments)

    monkeypatch.setattr(retention, "mark_removed", promoted_first)
    with pushes.Reader(root) as reader:
        removed = registry.prune(root, "digits", keep=1)
    assert reader.seen == []
    assert [one.number for one in removed] == [1, 3]
    assert registry.look_up(root, "registry:digits") == superseded


@pytest.mark.parametrize("keep", [0, -1])
def test_keeping_nothing_is_refused(root, make, keep):
    with pytest.raises(ConfigError, match=f"--keep: received {keep}; expected at least 1"):
        registry.prune(root, "digits", keep=keep)
