"""A run is followed to its end, retried where that helps, and started anew where it does not."""

import pytest

from frostline.config import RunConfig
from frostline.errors import FrostlineError
from pipelines.remote import operate
from pipelines.remote import submit as remote
from pipelines.remote.cluster import Cluster

CONFIG = RunConfig(image=f"registry.example/frostline@sha256:{'0' * 64}")


def task(name, *states, start=None, end=None):
    """A node as the API lists it; a state of the past comes first."""
    history = [{"update_time": "2026-01-01T00:00:00Z", "state": state} for state in states]
    times = {"start_time": start or "0001-01-01T00:00:00Z", "end_time": end or "0001-01-01T00:00:00Z"}
    return {"display_name": name, "state": states[-1], "state_history": history, **times}


def test_waiting_follows_the_run_to_its_end_with_a_line_for_each_step(server, capsys):
    server.failures = [503, 500]
    began, ended = "2026-01-01T00:00:00Z", "2026-01-01T00:00:42Z"
    server.tasks = [
        [task("plan-driver", "RUNNING"), task("executor", "RUNNING")],
        [task("plan", "RUNNING", start=began), task("plan(0)", "RUNNING")],
        [task("plan", "SUCCEEDED", start=began, end=ended), task("prepare", "RUNNING"), task("prepare", "SUCCEEDED")],
    ]
    line = remote.submit(CONFIG, Cluster(server.host), wait=True)
    assert line.startswith("succeeded, its outcome is that of the step release: http")
    printed = capsys.readouterr()
    lines = printed.err.splitlines()[1:]
    assert [line.split(": ")[1] for line in lines if line.startswith("run ")] == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert [line for line in lines if not line.startswith("run ")] == [
        "plan      running",
        "plan      done in 42 s",
        "prepare   running, 1 of 2 done",
    ]
    assert printed.out == ""


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "SKIPPED"])
def test_a_run_that_does_not_succeed_is_an_error_with_exit_code_1(server, state):
    server.states = ["RUNNING", state]
    with pytest.raises(FrostlineError, match=f"ended as {state}, see {server.host}") as caught:
        remote.submit(CONFIG, Cluster(server.host), wait=True)
    assert caught.value.exit_code == 1
    assert ("no step began; see kubectl -n NAMESPACE get events" in str(caught.value)) == (state == "FAILED")


def test_the_step_that_failed_is_named(server):
    server.states, server.tasks = ["FAILED"], [[task("plan", "SUCCEEDED"), task("train", "RUNNING", "FAILED")]]
    with pytest.raises(FrostlineError, match=r"ended as FAILED, see .*: train failed; its log is in the page of the"):
        remote.submit(CONFIG, Cluster(server.host), wait=True)


def test_a_run_whose_step_failed_is_retried(server, capsys):
    server.states, server.tasks = ["RUNNING", "FAILED"], [[task("train", "RUNNING", "FAILED")]]
    line = remote.submit(CONFIG, Cluster(server.host), wait=True, retries=2)
    assert line.startswith("succeeded")
    (run,) = server.runs
    assert server.actions[run["run_id"]] == ["retry"]
    assert "the run failed: train failed; its log is in" in capsys.readouterr().err


def test_a_run_that_fails_again_and_again_is_given_up_after_so_many(server):
    server.states, server.tasks = ["FAILED"], [[task("train", "FAILED")]]
    server.after_retry = ["RUNNING", "FAILED"]
    with pytest.raises(FrostlineError, match="ended as FAILED"):
        remote.submit(CONFIG, Cluster(server.host), wait=True, retries=2)
    assert server.actions[server.runs[0]["run_id"]] == ["retry", "retry"]


def test_a_run_in_which_the_engine_failed_is_started_anew(server, capsys):
    """As below 2.18 if a driver runs twice: none of the steps failed, and a retry does not heal it."""
    server.states = ["FAILED", "RUNNING", "SUCCEEDED"]
    server.tasks = [[task("plan", "SUCCEEDED"), task("train-driver(1)", "FAILED")]]
    line = remote.submit(CONFIG, Cluster(server.host), wait=True, retries=1)
    assert line.startswith("succeeded")
    assert line.endswith(server.runs[1]["run_id"])
    told = capsys.readouterr().err
    look = f"kubectl -n NAMESPACE get pods -l pipeline/runid={server.runs[0]['run_id']}; a retry does not heal that"
    assert f"none of its steps did; the log of a driver's pod says why: {look}: started anew as" in told


@pytest.mark.parametrize("states", [["CANCELED"], ["RUNNING", "CANCELING", "FAILED"]])
def test_a_run_that_someone_ended_is_not_started_again(server, states):
    """Kubeflow 2.17 calls it FAILED at last."""
    server.states, server.tasks = states, [[task("train", "RUNNING", "FAILED")]]
    with pytest.raises(FrostlineError, match=r"ended as CANCELED, see .*: someone ended it; frostline resume goes on"):
        remote.submit(CONFIG, Cluster(server.host), wait=True, retries=3)
    assert len(server.runs) == 1
    assert server.actions == {}


def test_a_run_that_was_ended_and_resumed_and_then_fails_is_retried(server):
    server.states = ["RUNNING", "CANCELING", "FAILED", "RUNNING", "FAILED"]
    server.tasks = [[task("train", "RUNNING", "FAILED")]]
    with pytest.raises(FrostlineError, match="ended as CANCELED"):
        remote.submit(CONFIG, Cluster(server.host), wait=True)
    run_id = server.runs[0]["run_id"]
    assert operate.resume(Cluster(server.host), run_id, retries=1).startswith("succeeded")
    assert server.actions[run_id] == ["retry"]


def pending(pod, *steps):
    return [*(task(step, "RUNNING") for step in steps), {**task(pod, "PENDING"), "task_id": pod}]


@pytest.fixture
def clock(monkeypatch):
    """Time that passes a minute with each poll."""
    from types import SimpleNamespace

    from pipelines.remote import following

    now = iter(range(0, 10**6, 60))
    monkeypatch.setattr(following, "time", SimpleNamespace(monotonic=lambda: next(now), sleep=lambda _: None))


def test_a_wait_for_a_node_is_told_once_and_ended_after_its_limit(server, clock, capsys):
    server.states, server.tasks = ["RUNNING"], [pending("executor(0)", "train")]
    with pytest.raises(FrostlineError, match=r"train had no node or image after 300 s .* can be resumed: http"):
        remote.submit(CONFIG, Cluster(server.host), wait=True, wait_for_node=300)
    assert server.actions[server.runs[0]["run_id"]] == ["terminate"]
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "has waited" in line]
    assert f"kubectl -n NAMESPACE describe pods -l pipeline/runid={server.runs[0]['run_id']}" in told


def test_pods_that_wait_one_after_the_other_do_not_add_up(server, clock):
    server.states = ["RUNNING"] * 8 + ["SUCCEEDED"]
    server.tasks = [pending(f"executor({number % 2})", "plan") for number in range(8)]
    assert remote.submit(CONFIG, Cluster(server.host), wait=True, wait_for_node=100).startswith("succeeded")
