"""Runs and schedules that are there already: resumed, ended, paused and looked at."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from frostline.config import RunConfig
from frostline.errors import FrostlineError
from pipelines.remote import operate
from pipelines.remote import submit as remote
from pipelines.remote.cluster import Cluster

CONFIG = RunConfig(image=f"registry.example/frostline@sha256:{'0' * 64}")


@pytest.fixture
def cluster(server):
    return Cluster(server.host)


@pytest.fixture
def run(server, cluster):
    """The identifier of a run."""
    remote.submit(CONFIG, cluster)
    return server.runs[0]["run_id"]


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_run_that_failed_or_was_ended_is_resumed_and_followed(server, cluster, run, state, capsys):
    server.states = [state]
    assert operate.resume(cluster, run).startswith("succeeded")
    assert server.actions[server.runs[0]["run_id"]] == ["retry"]
    assert f"resumed {cluster.run_url(run)}" in capsys.readouterr().err


def test_resuming_a_run_that_runs_follows_it_and_one_that_succeeded_is_told(server, cluster, run):
    server.states = ["RUNNING", "RUNNING", "SUCCEEDED"]
    assert operate.resume(cluster, run).startswith("succeeded")
    assert server.actions == {}
    with pytest.raises(FrostlineError, match="the run has succeeded already"):
        operate.resume(cluster, run)


def test_an_unknown_run_is_one_line(cluster, run):
    for action in (operate.resume, operate.terminate):
        with pytest.raises(FrostlineError, match=r"refused: Run nowhere not found$"):
            action(cluster, "nowhere")


def test_a_run_is_ended_once(server, cluster, run):
    server.states = ["RUNNING"]
    assert operate.terminate(cluster, run) == f"terminating {cluster.run_url(run)}"
    assert operate.terminate(cluster, run) == f"terminating {cluster.run_url(run)}"  # it is CANCELING
    assert operate.terminate(cluster, run).startswith("the run has ended already, as CANCELED: ")  # the API says FAILED
    assert server.actions[server.runs[0]["run_id"]] == ["terminate"]


def test_a_schedule_is_paused_and_goes_on_however_often_one_says_so(server, cluster):
    remote.schedule(CONFIG, cluster, cron="0 3 * * *", name="nightly")
    for _ in range(2):
        assert operate.set_paused(cluster, "nightly", paused=True) == "nightly is paused"
        assert server.recurring_runs[0]["mode"] == "DISABLE"
    assert operate.set_paused(cluster, "nightly", paused=False) == "nightly is scheduled"
    assert server.recurring_runs[0]["mode"] == "ENABLE"
    with pytest.raises(FrostlineError, match="there is no schedule 'weekly'"):
        operate.set_paused(cluster, "weekly", paused=True)


def test_a_schedule_that_was_replaced_while_it_ran_does_not_come_back(server, cluster):
    remote.schedule(CONFIG, cluster, cron="0 3 * * *", name="nightly")
    remote.submit(CONFIG, cluster)
    server.runs[0] |= {"recurring_run_id": server.recurring_runs[0]["recurring_run_id"], "state": "RUNNING"}
    remote.schedule(CONFIG, cluster, cron="0 4 * * *", name="nightly")
    operate.set_paused(cluster, "nightly", paused=True)
    operate.set_paused(cluster, "nightly", paused=False)
    assert [run["mode"] for run in server.recurring_runs] == ["DISABLE", "ENABLE"]
    lines = [line for line in operate.status(cluster, "nightly").splitlines() if line.startswith("nightly")]
    assert " 04:00 UTC  at '0 0 4" in lines[0]
    assert lines[1].startswith("nightly  replaced  at '0 0 3")


def test_the_status_of_a_schedule_has_its_last_runs_the_newest_first(server, cluster, run):
    remote.schedule(CONFIG, cluster, cron="0 3 * * *", name="nightly")
    server.recurring_runs[0]["status"] = "DISABLED"
    schedule = {"recurring_run_id": server.recurring_runs[0]["recurring_run_id"]}
    for day, state in ((1, "SUCCEEDED"), (3, "RUNNING"), (2, "FAILED")):
        started = {"run_id": f"r{day}", "display_name": "x", "state": state, "created_at": f"2026-01-0{day}T03:00:00Z"}
        server.runs.append({**started, **schedule})
    first, *rest = operate.status(cluster, "nightly").splitlines()
    assert first.startswith("nightly  paused  at '0 0 3 * * *'  InceptionV3 with weights imagenet; freeze head_only")
    assert [line.split()[:3] for line in rest] == [
        ["2026-01-03", "03:00", "RUNNING"],
        ["2026-01-02", "03:00", "FAILED"],
        ["2026-01-01", "03:00", "SUCCEEDED"],
    ]


def test_the_status_of_a_schedule_that_is_not_paused_says_when_it_runs_next(server, cluster):
    remote.schedule(CONFIG, cluster, cron="0 3 * * *", name="nightly")
    told = operate.status(cluster, "nightly")
    when = datetime.strptime(re.match(r"nightly  next (\S+ 03:00 UTC)  at", told)[1], "%Y-%m-%d %H:%M UTC")
    assert timedelta(0) < when.replace(tzinfo=UTC) - datetime.now(UTC) <= timedelta(days=1)


def test_a_schedule_is_deleted_once_nothing_of_it_runs_and_however_often_one_says_so(server, cluster):
    remote.schedule(CONFIG, cluster, cron="0 5 * * *", name="nightly")
    (one,) = server.recurring_runs
    remote.submit(CONFIG, cluster)
    server.runs[-1] |= {"recurring_run_id": one["recurring_run_id"], "state": "RUNNING", "display_name": "tonight"}
    with pytest.raises(FrostlineError, match="nightly is paused; delete it once tonight has ended"):
        operate.delete(cluster, "nightly")
    assert one["mode"] == "DISABLE"
    server.runs[-1]["state"] = "FAILED"
    assert operate.delete(cluster, "nightly") == "nightly is deleted"
    assert server.recurring_runs == []
    assert operate.delete(cluster, "nightly") == "there is no schedule 'nightly'"
