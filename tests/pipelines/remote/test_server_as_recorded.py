"""The server of these tests answers as a real one did, and what a real one said of a run is understood."""

import json
import re
import urllib.error
import urllib.request

import kfp_server_api
import pytest

from frostline.config import RunConfig
from frostline.errors import FrostlineError
from pipelines.remote import submit as remote
from pipelines.remote.cluster import Cluster, connected
from pipelines.remote.run_states import RunStates, state_of

from tests.pipelines.remote import recorded
from tests.support.kfp_contract import faults

CONFIG = RunConfig(image=f"registry.example/frostline@sha256:{'0' * 64}")
USER = {"Authorization": "Bearer abc"}


@pytest.fixture
def two_modes(server):
    """Sets the server to what it was when an answer was recorded: with users, or without."""

    def set_to(name):
        server.token = "abc"
        cluster = Cluster(server.host)
        if name.endswith(("no-identity", "stranger", "namespace", "multiuser")):
            server.multi_user, server.namespaces = True, {"team-a"}
            cluster = Cluster(server.host, namespace="team-a")
        return cluster

    return set_to


def ask(server, request, headers):
    """Status and body of an answer."""
    url = f"{server.host}{request['path']}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=request["method"], headers=headers)) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def shape(body, known=re.compile(r"plugins_output|parameters|description")):
    """A body without its values: keys, and types. Only the first of a list counts."""
    if isinstance(body, dict):
        return {key: shape(each) for key, each in body.items() if not known.fullmatch(key)}
    return [shape(each) for each in body[:1]] if isinstance(body, list) else type(body).__name__


@pytest.mark.parametrize("name", [name for name, each in recorded.ANSWERS.items() if each["status"] != 200])
def test_a_refusal_has_the_recorded_status_code_and_reason(server, two_modes, name, monkeypatch):
    monkeypatch.setenv("TOKEN", "abc")
    cluster, answer = two_modes(name), recorded.ANSWERS[name]
    request = answer["request"]
    if name == "retry-of-a-running-run":
        remote.submit(CONFIG, Cluster(server.host, token_env="TOKEN"))
        server.states = ["RUNNING"]
        request = {**request, "path": f"/apis/v2beta1/runs/{server.runs[0]['run_id']}:retry"}
    if name == "experiments-stranger":
        server.namespaces = {"team-b"}
    status, body = ask(server, request, {} if name.endswith("no-identity") else USER)
    assert status == answer["status"]
    assert shape(body) == shape(answer["body"])
    assert body["code"] == answer["body"]["code"]
    for told in (body, body["details"][0]):
        wanted = answer["body"] if told is body else answer["body"]["details"][0]
        assert words(told["message"]) == words(wanted["message"])
    assert cluster.host == server.host


def words(message):
    """A message without identifiers and without what a request was for."""
    return re.sub(r"\(request: .*|: Unauthorized access|[0-9a-f-]{36}|run_id-\d+", "", message).strip()


@pytest.mark.parametrize("name", [name for name, each in recorded.ANSWERS.items() if each["status"] == 200])
def test_an_answer_has_the_recorded_fields(server, two_modes, name, monkeypatch):
    monkeypatch.setenv("TOKEN", "abc")
    namespace = "team-a" if two_modes(name).namespace else ""
    cluster = Cluster(server.host, namespace=namespace, token_env="TOKEN")
    answer = recorded.ANSWERS[name]
    remote.schedule(CONFIG, cluster, cron="30 3 * * *", name="nightly")
    status, body = ask(server, answer["request"], USER)
    assert status == 200
    optional = {"namespace", "last_run_created_at", "storage_state"}  # of no interest to a client
    found, wanted = shape(body), shape(answer["body"])
    for key in wanted:
        if isinstance(wanted[key], list):
            assert set(wanted[key][0]) - set(found[key][0]) <= optional
            assert all(found[key][0][each] == wanted[key][0][each] for each in set(wanted[key][0]) & set(found[key][0]))
        else:
            assert found[key] == wanted[key]


@pytest.mark.parametrize("name", recorded.RUNS)
def test_what_was_recorded_fits_the_models_that_hold_for_the_server_too(name):
    assert faults(recorded.run(name), "V2beta1Run") == []


def test_a_body_that_does_not_fit_the_models_is_noticed():
    run = recorded.run("run-terminated")
    run["run_details"]["task_details"][0]["state"] = "BROKEN"
    run |= {"colour": 1, "created_at": "yesterday", "run_id": 7, "error": []}
    assert sorted(faults(run, "V2beta1Run", "run")) == [
        "run.colour: V2beta1Run has no such field",
        "run.created_at: expected a time, received 'yesterday'",
        "run.error: expected GoogleRpcStatus",
        "run.run_details.task_details[0].state: 'BROKEN' is no V2beta1RuntimeState",
        "run.run_id: expected str, received 7",
    ]


def as_run(name):
    """A recorded run, as the client reads it."""
    response = type("Response", (), {"data": json.dumps(recorded.run(name))})
    return kfp_server_api.ApiClient().deserialize(response, "V2beta1Run")


def test_a_run_that_was_ended_has_the_recorded_history(server, monkeypatch):
    line = remote.submit(CONFIG, Cluster(server.host))
    server.states = ["PENDING", "RUNNING"]
    with connected(Cluster(server.host)) as (client, _):
        run_id = server.runs[0]["run_id"]
        seen = [client.get_run(run_id).state for _ in range(2)]
        client.terminate_run(run_id)
        seen += [client.get_run(run_id).state for _ in range(2)]
        told = client.get_run(run_id)
    wanted = [each["state"] for each in recorded.run("run-terminated")["state_history"]]
    assert seen == [each.state for each in told.state_history] == wanted
    assert state_of(told) == state_of(as_run("run-terminated")) == "CANCELED"
    assert line.startswith("started")


def test_the_steps_of_the_recorded_runs_are_told_in_their_order():
    """Nodes without a name of a step are none, and what never began is not said to wait."""
    told = RunStates().news(as_run("run-succeeded"))
    assert [line.split(" ", 1)[0] for line in told] == ["plan", "ingest", "validate", "train", "evaluate", "gate"]
    assert all(re.fullmatch(r"\w+ +done in \d+ s", line) for line in told)
    assert RunStates().news(as_run("run-terminated")) == ["plan      failed", "ingest    failed"]
    retried = RunStates()
    assert retried.news(as_run("run-retried"))[-1] == "train     running, retried 1 time"
    assert retried.failed(as_run("run-retried")) == []


def test_a_run_without_its_service_account_is_told_what_may_be_missing(server):
    server.states = ["FAILED"]
    server.tasks = [recorded.run("run-failed-no-serviceaccount")["run_details"]["task_details"]]
    with pytest.raises(FrostlineError, match=r"no step began; .* there is no service account frostline or no claim"):
        remote.submit(CONFIG, Cluster(server.host), wait=True)


def test_a_page_token_belongs_to_its_filter_and_a_wrong_filter_is_refused(server):
    for hour in range(3):
        remote.schedule(CONFIG, Cluster(server.host), cron=f"0 {hour} * * *", name=f"s{hour}")
    with connected(Cluster(server.host)) as (client, _):
        token = client.list_recurring_runs().next_page_token
        assert len(client.list_recurring_runs(page_token=token).recurring_runs) == 1
        for wrong in ({"page_token": "x"}, {"filter": "{"}, {"filter": '{"predicates": [{"key": "colour"}]}'}):
            with pytest.raises(kfp_server_api.ApiException) as caught:
                client.list_recurring_runs(**wrong)
            assert caught.value.status == 400
