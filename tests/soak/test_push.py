"""Pushes killed before, in and after every write, raced by processes, and sent through a network with random faults.

The seed is in the names of the tests that draw; FROSTLINE_SOAK_SEED repeats them.
"""

import os
import random
import subprocess

import pytest

from frostline import registry, storage

from tests.support import pushes
from tests.support.pushes import RECORD, STANDING, Reader, Run, compared_with
from tests.support.relay import FAULTS, Relay

SEED = int(os.environ.get("FROSTLINE_SOAK_SEED") or random.SystemRandom().randrange(10**6))
POINTS = [(number, when) for number in range(1, RECORD + 1) for when in ("before", "after")]


@pytest.mark.parametrize(("number", "when"), POINTS)
def test_a_push_that_is_killed_at_a_write_is_finished_by_its_retry(root, undisturbed, number, when):
    pushes.killed_and_repeated(undisturbed, root, number, when)


@pytest.mark.parametrize("number", range(1, RECORD + 1))
def test_a_push_that_is_killed_when_a_file_is_written_and_not_named_is_finished_too(undisturbed, tmp_path, number):
    pushes.killed_and_repeated(undisturbed, str(tmp_path / "registry"), number, "unlinked")


def test_a_push_that_is_killed_over_and_over_gets_there(root, undisturbed):
    """Each attempt dies before its sixth write, at most three of the five before it being unfinished then."""
    run, expected = undisturbed
    run.root = root
    with Reader(root) as reader:
        attempts = 0
        while run.die(number=6, when="before").returncode == -9:
            attempts += 1
            assert attempts <= RECORD / 2
    assert attempts > 2
    assert reader.seen == []
    assert pushes.content(root) == expected


@pytest.mark.parametrize("approval", ["none", "required"])
@pytest.mark.parametrize(("number", "when"), POINTS[2 * STANDING - 2 :])
def test_a_push_that_is_killed_beside_a_champion_is_finished_too(root, made, tmp_path, number, when, approval):
    Run(tmp_path / "first", root, made, "first").push()
    run = Run(tmp_path / "run", root, made, "d2", compared_with(root), approval=approval)
    last = STANDING if approval == "required" else RECORD
    with Reader(root) as reader:
        assert run.die(number=number, when=when).returncode == (-9 if number <= last else 0)
        outcome = run.push()
    assert reader.seen == []
    assert outcome.startswith("candidate" if approval == "required" else "pushed")
    champion = 1 if approval == "required" else 2
    assert [entry.version for entry in registry.history(root, "digits")] == [1, 2][:champion]
    assert registry.champion(root, "digits").version == champion
    assert len(registry.versions(root, "digits")) == 2


def test_sixteen_processes_with_as_many_models_make_sixteen_versions_and_one_champion(root, made, tmp_path):
    Run(tmp_path / "first", root, made, "first").push()
    compared = compared_with(root)
    runs = [Run(tmp_path / str(number), root, made, f"d{number}", compared) for number in range(16)]
    outcomes = at_once(root, runs)
    serving = registry.champion(root, "digits").version
    assert sorted(outcome.partition(":")[0] for outcome in outcomes) == ["held"] * 15 + ["pushed"]
    assert all(f"champion is version {serving} now" in outcome for outcome in outcomes if outcome.startswith("held"))
    assert [version.number for version in registry.versions(root, "digits")] == list(range(1, 18))
    assert [entry.version for entry in registry.history(root, "digits")] == [1, serving]


def test_sixteen_processes_with_the_same_model_make_one_version(root, undisturbed):
    run, expected = undisturbed
    run.root = root
    outcomes = at_once(root, [run] * 16)
    assert pushes.content(root) == expected
    assert all("version 1 " in outcome for outcome in outcomes), outcomes


def at_once(root, runs):
    """Push in as many processes; what each ended with."""
    with Reader(root) as reader:
        started = [subprocess.Popen(run.command(), stdout=subprocess.PIPE, text=True) for run in runs]
        outcomes = [process.communicate(timeout=300)[0].strip() for process in started]
    assert reader.seen == []
    assert [process.returncode for process in started] == [0] * len(runs)
    return outcomes


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # of connections that the relay broke
@pytest.mark.parametrize("seed", [f"{SEED}/{number}" for number in range(5)])
def test_random_faults_of_the_network_cost_nothing_but_time(gcs, undisturbed, seed):
    run, expected = undisturbed
    run.root = gcs
    draw = random.Random(seed)

    def fault(*_):
        return draw.choice(FAULTS) if draw.random() < 0.05 else None

    with Relay(fault) as relay:
        run.push()
    assert sum(relay.struck[kind] for kind in FAULTS) > 0
    assert pushes.content(gcs) == expected
    assert len(storage.list_files(f"{gcs}/digits")) == RECORD
