"""Equal runs that push at once: they end in the same version, and each says in its line what is true of it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from frostline import registry, storage

from tests.support.attempts import attempt
from tests.support.pushes import Run, compared_with

FIRST = "pushed: digits version {} is the champion"
OTHER = "pushed: digits version {} is already the champion: an equal run published it"


def meet(monkeypatch, number):
    """Every push waits for the others when it has published its version: nobody is champion yet."""
    barrier, publish = threading.Barrier(number), registry.publish

    def published(*arguments, **named):
        version = publish(*arguments, **named)
        barrier.wait(timeout=60)
        return version

    monkeypatch.setattr(registry, "publish", published)


def push_at_once(runs):
    with ThreadPoolExecutor(len(runs)) as pool:
        return list(pool.map(Run.push, runs))


@pytest.mark.parametrize("again", [False, True])
def test_equal_runs_end_in_one_version_and_both_say_so(root, made, tmp_path, monkeypatch, again):
    if again:
        Run(tmp_path / "before", root, made, "before").push()
    champion, number = (compared_with(root), 2) if again else (None, 1)
    runs = [Run(tmp_path / name, root, made, "d", champion) for name in ("a", "b", "c")]
    meet(monkeypatch, 3)
    outcomes = push_at_once(runs)
    assert sorted(outcomes) == sorted([FIRST.format(number), *[OTHER.format(number)] * 2])
    for run, outcome in zip(runs, outcomes, strict=True):
        assert (run.published()["version"], run.published()["outcome"]) == (number, outcome)
    assert [version.number for version in registry.versions(root, "digits")] == list(range(1, number + 1))
    assert [one.version for one in registry.history(root, "digits")] == list(range(1, number + 1))
    assert len(storage.list_files(storage.join(root, "digits/claims"))) == number


def test_an_equal_run_whose_documents_differ_ends_in_the_version_that_serves(root, made, tmp_path, monkeypatch):
    """Measured times and reasons are other ones, so each run publishes a version of its own; one of them serves."""
    runs = [Run(tmp_path / name, root, made, "d", reason=name) for name in ("a", "b")]
    meet(monkeypatch, 2)
    outcomes = push_at_once(runs)
    number = registry.champion(root, "digits").version
    assert sorted(outcomes) == sorted([FIRST.format(number), OTHER.format(number)])
    assert [run.published()["version"] for run in runs] == [number, number]
    serving = registry.look_up(root, "registry:digits@champion")
    assert {run.published()["manifest_digest"] for run in runs} == {serving.manifest_digest}
    assert {run.published()["uri"] for run in runs} == {serving.uri}
    assert [one.version for one in registry.history(root, "digits")] == [number]


def test_equal_runs_conclude_their_attempt_as_pushed(root, made, tmp_path, monkeypatch):
    one = attempt("d")
    registry.begin(root, one)
    runs = [Run(tmp_path / name, root, made, "d", attempt=one.attempt, reason=name) for name in ("a", "b")]
    meet(monkeypatch, 2)
    push_at_once(runs)
    [concluded] = registry.attempts(root, "digits")
    assert (concluded.outcome, concluded.version) == ("pushed", registry.champion(root, "digits").version)


def test_equal_candidates_wait_as_one_version(root, made, tmp_path, monkeypatch):
    Run(tmp_path / "before", root, made, "before").push()
    champion = compared_with(root)
    runs = [Run(tmp_path / name, root, made, "d", champion, approval="required") for name in ("a", "b")]
    meet(monkeypatch, 2)
    outcomes = push_at_once(runs)
    assert [outcome.partition(";")[0] for outcome in outcomes] == ["candidate: digits version 2 waits for approval"] * 2
    assert registry.states(root, "digits") == {1: "champion", 2: "candidate"}


def test_another_model_that_was_faster_still_holds_the_push(root, made, tmp_path, monkeypatch):
    runs = [Run(tmp_path / name, root, made, name) for name in ("a", "b")]
    meet(monkeypatch, 2)
    outcomes = push_at_once(runs)
    number = registry.champion(root, "digits").version
    held = f"held: digits: the champion is version {number} now; version {3 - number} was compared with no champion"
    assert sorted(outcomes) == [held, FIRST.format(number)]
