"""Pushes that die, race or meet a bad network: the registry ends as if nothing had happened, and no reader sees it.

A few points of each kind; tests/soak/test_push.py strikes at all of them.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from frostline import registry, storage

from tests.support import pushes
from tests.support.pushes import ALIAS, MANIFEST, RECORD, Reader, Run, compared_with
from tests.support.relay import FAULTS, Relay


def test_the_points_are_where_they_are_said_to_be(root, made, tmp_path, monkeypatch):
    named = []
    pushes.Writes(root, lambda *_: None, monkeypatch.setattr)
    original = storage.write_bytes

    def noted(uri, *arguments, **options):
        if uri.startswith(root):
            named.append(uri.removeprefix(f"{root}/digits/").partition("-")[0])
        return original(uri, *arguments, **options)

    monkeypatch.setattr(storage, "write_bytes", noted)
    writes = pushes.Writes(root, lambda *_: None, monkeypatch.setattr)
    Run(tmp_path / "run", root, made).push()
    assert writes.number == RECORD
    assert named == [
        "claims/1.json",
        "versions/1/manifest.json",
        "standings/1.json",
        "aliases/champion.json",
        "promotions/000001",
    ]


@pytest.mark.parametrize(
    ("number", "when"), [(1, "after"), (9, "before"), (19, "before"), (MANIFEST, "before"), (MANIFEST, "after")]
)
def test_a_push_that_is_killed_is_finished_by_its_retry_as_if_nothing_had_happened(root, undisturbed, number, when):
    pushes.killed_and_repeated(undisturbed, root, number, when)


def test_a_push_that_is_killed_between_alias_and_record_is_recorded_by_its_retry(undisturbed, tmp_path):
    run, expected = undisturbed
    run.root = str(tmp_path / "registry")
    ended = run.die(number=ALIAS, when="after")
    assert ended.returncode == -9, ended.stderr
    assert registry.champion(run.root, "digits").version == 1
    assert run.push() == "pushed: digits version 1 is already the champion"
    assert pushes.content(run.root) == expected


def test_sixteen_models_pushed_at_once_are_sixteen_versions_and_one_champion(root, made, tmp_path):
    Run(tmp_path / "first", root, made, "first").push()
    compared = compared_with(root)
    runs = [Run(tmp_path / str(number), root, made, f"d{number}", compared) for number in range(16)]
    with Reader(root) as reader, ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(Run.push, runs))
    assert reader.seen == []
    assert_one_won(root, outcomes)


def assert_one_won(root, outcomes):
    serving = registry.champion(root, "digits").version
    assert sorted(outcome.partition(":")[0] for outcome in outcomes) == ["held"] * 15 + ["pushed"]
    assert f"pushed: digits version {serving} is the champion" in outcomes
    held = [outcome for outcome in outcomes if outcome.startswith("held")]
    assert all(f"the champion is version {serving} now" in outcome for outcome in held)
    found = registry.versions(root, "digits")
    assert [version.number for version in found] == list(range(1, 18))
    assert len({version.manifest["identity"] for version in found}) == 17
    assert [entry.version for entry in registry.history(root, "digits")] == [1, serving]


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # of connections that the relay broke
def test_a_bad_network_costs_nothing_but_time(gcs, undisturbed):
    """One fault of each kind, each on another write, the alias among them."""
    run, expected = undisturbed
    run.root = gcs
    waiting = dict(zip(("saved_model.pb", "manifest.json", "claims", "champion.json"), FAULTS, strict=True))

    def fault(method, path, body):
        struck = next((name for name in waiting if "/upload/" in path and name.encode() in body[:1000]), None)
        return waiting.pop(struck) if struck else None

    with Relay(fault) as relay:
        assert run.push() == "pushed: digits version 1 is the champion"
        assert pushes.content(gcs) == expected
    assert {kind: relay.struck[kind] for kind in FAULTS} == dict.fromkeys(FAULTS, 1)
