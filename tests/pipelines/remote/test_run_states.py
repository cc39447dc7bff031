"""What people are told of the steps of a run, from the nodes that the API lists."""

from datetime import UTC, datetime, timedelta

from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run, V2beta1RunDetails, V2beta1RuntimeStatus

from pipelines.finetune import TIMEOUTS
from pipelines.remote.run_states import STEPS, RunStates

START = datetime(2026, 1, 1, tzinfo=UTC)
UNKNOWN = datetime(1, 1, 1, tzinfo=UTC)


def node(name, *states, seconds=None):
    history = [V2beta1RuntimeStatus(state=state) for state in states]
    times = {"start_time": START, "end_time": UNKNOWN if seconds is None else START + timedelta(seconds=seconds)}
    return V2beta1PipelineTaskDetail(display_name=name, state=states[-1], state_history=history, **times)


def run(*nodes):
    return V2beta1Run(run_details=V2beta1RunDetails(task_details=list(nodes)))


def test_the_steps_are_those_of_the_pipeline():
    assert set(STEPS) == set(TIMEOUTS)


def test_only_the_steps_own_nodes_are_told_and_each_change_once():
    states = RunStates()
    others = ("root", "train-driver", "executor", "executor(0)", "iteration-item(0)", "for-loop-1", "training")
    nodes = [node(name, "RUNNING") for name in others]
    assert states.news(run(*nodes)) == []
    assert states.news(run(*nodes, node("train", "PENDING"))) == ["train     waiting"]
    assert states.news(run(*nodes, node("train", "PENDING", "RUNNING"))) == ["train     running"]
    assert states.news(run(*nodes, node("train", "PENDING", "RUNNING"))) == []
    assert states.news(run(node("train", "SUCCEEDED", seconds=90))) == ["train     done in 90 s"]


def test_workers_are_counted_together():
    states = RunStates()
    two = [node("prepare", "SUCCEEDED", seconds=10), node("prepare", "SUCCEEDED", seconds=30)]
    assert states.news(run(*two, node("prepare", "RUNNING"))) == ["prepare   running, 2 of 3 done"]
    assert states.news(run(*two)) == ["prepare   done in 30 s"]


def test_retries_are_counted_whoever_asked_for_them():
    """The engine makes another attempt, `train(1)`; a person's retry runs the same node again."""
    assert RunStates().news(run(node("train", "RUNNING"), node("train(0)", "FAILED"), node("train(1)", "RUNNING"))) == [
        "train     running, retried 1 time"
    ]
    again = node("train", "RUNNING", "FAILED", "RUNNING", "FAILED", "RUNNING")
    assert RunStates().news(run(again)) == ["train     running, retried 2 times"]


def test_what_failed_is_named_in_the_order_of_the_steps():
    states = RunStates()
    nodes = [node("train", "RUNNING", "FAILED"), node("plan", "FAILED"), node("root-driver(2)", "FAILED")]
    assert states.news(run(*nodes)) == ["plan      failed", "train     failed"]
    assert states.failed(run(*nodes)) == ["plan", "train"]
    assert states.began()
    assert not RunStates().began()
    assert states.failed(run(node("root-driver(2)", "FAILED"))) == []
    assert states.failed(V2beta1Run()) == []
