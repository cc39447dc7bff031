"""A server that is busy, silent or refuses while a run is followed."""

import threading

import pytest

from frostline.config import RunConfig
from frostline.errors import FrostlineError
from pipelines.remote import cluster as connection
from pipelines.remote import following, operate
from pipelines.remote import submit as remote
from pipelines.remote.cluster import Cluster

from tests.support.kfp_answers import Refused

CONFIG = RunConfig(image=f"registry.example/frostline@sha256:{'0' * 64}")
FAILED = {
    "display_name": "train",
    "state": "FAILED",
    "state_history": [{"update_time": "2026-01-01T00:00:00Z", "state": "FAILED"}],
}


@pytest.fixture
def failed(server):
    """A run of which train fails at first."""
    server.states, server.tasks = ["RUNNING", "FAILED"], [[FAILED]]
    return server


def refuse(server, monkeypatch, *statuses, done=False):
    """Answer what is asked of runs with these statuses first; `done` if it is granted nevertheless."""
    act, left = server._act, list(statuses)

    def refusing(run_id, verb):
        if left and done:
            act(run_id, verb)
        if left:
            raise Refused(left.pop(0), "received message larger than max")
        return act(run_id, verb)

    monkeypatch.setattr(server, "_act", refusing)


def test_a_run_that_kubeflow_does_not_retry_is_started_anew(failed, monkeypatch, capsys):
    """As above 2 MiB of its workflow."""
    refuse(failed, monkeypatch, 500)
    failed.states += ["RUNNING", "SUCCEEDED"]
    line = remote.submit(CONFIG, Cluster(failed.host), wait=True, retries=1)
    assert line.startswith("succeeded")
    assert line.endswith(failed.runs[1]["run_id"])
    told = capsys.readouterr().err
    assert "does not retry the run (received message larger than max); a new run of the same configuration" in told
    assert "finds what was finished: started anew as http" in told


def test_resuming_such_a_run_says_what_to_do(failed, monkeypatch):
    remote.submit(CONFIG, Cluster(failed.host))
    failed.states = ["FAILED"]
    refuse(failed, monkeypatch, 500)
    with pytest.raises(FrostlineError, match=r"a new run of the same configuration finds what was finished$"):
        operate.resume(Cluster(failed.host), failed.runs[0]["run_id"])
    assert len(failed.runs) == 1


def test_a_gateway_that_restarts_when_a_run_is_retried_is_waited_for(failed, monkeypatch):
    refuse(failed, monkeypatch, 503, 429)
    assert remote.submit(CONFIG, Cluster(failed.host), wait=True, retries=1).startswith("succeeded")
    assert len(failed.runs) == 1
    assert failed.actions[failed.runs[0]["run_id"]] == ["retry"]


def test_a_retry_whose_answer_was_lost_is_not_repeated(failed, monkeypatch):
    """Kubeflow refuses the second request, since the run runs."""
    refuse(failed, monkeypatch, 503, done=True)
    failed.after_retry = ["RUNNING", "RUNNING", "SUCCEEDED"]
    assert remote.submit(CONFIG, Cluster(failed.host), wait=True, retries=1).startswith("succeeded")
    assert len(failed.runs) == 1
    assert failed.actions[failed.runs[0]["run_id"]] == ["retry"]


def test_who_may_not_retry_a_run_starts_no_other_one(failed, monkeypatch):
    refuse(failed, monkeypatch, 403)
    with pytest.raises(FrostlineError, match="ask for the role kubeflow-edit"):
        remote.submit(CONFIG, Cluster(failed.host), wait=True, retries=1)
    assert len(failed.runs) == 1


def test_a_gateway_that_restarts_when_a_run_is_to_end_is_waited_for(server, monkeypatch):
    pod = {**FAILED, "display_name": "plan-driver", "state": "PENDING", "task_id": "a"}
    server.states, server.tasks = ["RUNNING", "RUNNING", "RUNNING", "SUCCEEDED"], [[pod]]
    refuse(server, monkeypatch, 503)
    with pytest.raises(FrostlineError, match="had no node or image after 0 s"):
        remote.submit(CONFIG, Cluster(server.host), wait=True, wait_for_node=0)
    assert server.actions[server.runs[0]["run_id"]] == ["terminate"]


@pytest.mark.parametrize("failures", [[429, 503, 500, 503], [503] * 40])
def test_a_server_that_is_busy_is_asked_again(server, failures):
    """However often in less than two minutes."""
    server.failures = failures
    assert remote.submit(CONFIG, Cluster(server.host), wait=True).startswith("succeeded")


@pytest.mark.parametrize("silent", ["runs", "healthz", "experiments"])
def test_a_server_that_goes_silent_is_given_up(server, monkeypatch, silent):
    """As a port-forward whose other end is gone: connections are accepted, and nothing comes."""
    monkeypatch.setattr(connection, "_READ_SECONDS", 0.2)
    monkeypatch.setattr(following, "_PATIENCE", 0.5)
    answer, ended = server.answer, threading.Event()

    def waits(method, path, *rest):
        if method == "GET" and path[0] == silent:
            ended.wait(30)
        return answer(method, path, *rest)

    monkeypatch.setattr(server, "answer", waits)
    try:
        with pytest.raises(FrostlineError, match=r"Kubeflow Pipelines does not answer: Read timed out\."):
            remote.submit(CONFIG, Cluster(server.host), wait=True)
    finally:
        ended.set()
