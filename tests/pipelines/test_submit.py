"""Uploading, starting, following and scheduling, against an HTTP server that answers kfp.Client's calls."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import kfp
import pytest

from frostline.config import FreezeConfig, RunConfig
from frostline.errors import ConfigError, FrostlineError
from pipelines import submit as remote
from pipelines.compile import SHIPPED

from tests.support.kfp_server import KfpServer

CONFIG = RunConfig(model_name="digits", epochs=3, freeze=FreezeConfig(through="block1"))


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    monkeypatch.setattr(remote, "POLL_SECONDS", 0.01)
    for name in ("KF_PIPELINES_UI_ENDPOINT", "KF_PIPELINES_IAP_OAUTH2_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    with KfpServer() as running:
        yield running


def test_a_run_carries_the_configuration_the_experiment_and_the_service_account(server):
    line = remote.submit(CONFIG, host=server.host, experiment="nightly", wait=False)
    (run,) = server.runs
    assert run["runtime_config"]["parameters"] == CONFIG.arguments()
    assert run["service_account"] == "frostline"
    assert [experiment["display_name"] for experiment in server.experiments] == ["nightly"]
    assert line == f"started {server.host}/#/runs/details/{run['run_id']}"


def test_the_same_yaml_makes_one_pipeline_and_one_version(server):
    remote.submit(CONFIG, host=server.host)
    remote.submit(RunConfig(model_name="other", epochs=1), host=server.host)
    assert len(server.pipelines) == len(server.versions) == len(server.experiments) == 1
    assert len(server.runs) == 2
    assert {run["pipeline_version_reference"]["pipeline_version_id"] for run in server.runs} == {
        server.versions[0]["pipeline_version_id"]
    }


def test_a_changed_yaml_becomes_a_second_version_of_the_same_pipeline(server, monkeypatch, tmp_path):
    remote.submit(CONFIG, host=server.host)
    changed = tmp_path / "changed.yaml"
    changed.write_text(SHIPPED.read_text() + "# another comment\n")
    monkeypatch.setattr(remote, "SHIPPED", changed)
    remote.submit(CONFIG, host=server.host)
    assert len(server.pipelines) == 1
    assert len({version["display_name"] for version in server.versions}) == 2
    assert (
        server.runs[1]["pipeline_version_reference"]["pipeline_version_id"]
        == (server.versions[1]["pipeline_version_id"])
    )


def test_two_submits_at_once_share_what_the_first_one_made(server, monkeypatch):
    answer = server.answer

    def hides_the_first_answer(method, path, *rest):
        result = answer(method, path, *rest)
        first = server.calls.count("GET pipelines") == 1 and path == ["pipelines"] and method == "GET"
        return {} if first else result

    remote.submit(CONFIG, host=server.host)
    server.calls.clear()
    monkeypatch.setattr(server, "answer", hides_the_first_answer)
    remote.submit(CONFIG, host=server.host)
    assert len(server.pipelines) == 1
    assert len(server.runs) == 2


def test_waiting_follows_the_run_to_its_end(server, capsys):
    server.failures = [503, 503]
    line = remote.submit(CONFIG, host=server.host, wait=True)
    assert line.startswith("succeeded http")
    printed = capsys.readouterr()
    assert [line.split()[-1] for line in printed.err.splitlines()[1:]] == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert printed.out == ""


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "SKIPPED"])
def test_a_run_that_does_not_succeed_is_an_error_with_exit_code_1(server, state):
    server.states = ["RUNNING", state]
    with pytest.raises(FrostlineError, match=f"ended as {state}, see {server.host}") as caught:
        remote.submit(CONFIG, host=server.host, wait=True)
    assert caught.value.exit_code == 1
    assert ("train failed" in str(caught.value)) == (state == "FAILED")


def test_a_run_that_is_gone_is_not_waited_for(server):
    server.failures = [404]
    with pytest.raises(FrostlineError, match="refused: the gateway"):
        remote.submit(CONFIG, host=server.host, wait=True)


def test_schedule_makes_a_recurring_run_that_neither_overlaps_nor_catches_up(server):
    line = remote.schedule(CONFIG, cron="30 2 * * *", host=server.host, name="nightly")
    (run,) = server.recurring_runs
    assert run["display_name"] == "nightly"
    assert run["trigger"] == {"cron_schedule": {"cron": "0 30 2 * * *"}}
    assert run["max_concurrency"] == 1
    assert run["no_catchup"] is True
    assert run["mode"] == "ENABLE"
    assert run["service_account"] == "frostline"
    assert run["runtime_config"]["parameters"] == CONFIG.arguments()
    assert line.startswith("scheduled nightly at '0 30 2 * * *': http")


def test_schedule_replaces_every_older_one_of_that_name_and_no_other(server):
    for hour in range(4):
        remote.schedule(CONFIG, cron=f"0 {hour} * * *", host=server.host, name=f"other-{hour}")
    remote.schedule(CONFIG, cron="0 5 * * *", host=server.host, name="nightly")
    server.calls.clear()
    line = remote.schedule(CONFIG, cron="0 6 * * *", host=server.host, name="nightly", experiment="moved")
    crons = {run["display_name"]: run["trigger"]["cron_schedule"]["cron"] for run in server.recurring_runs}
    assert crons == {**{f"other-{hour}": f"0 0 {hour} * * *" for hour in range(4)}, "nightly": "0 0 6 * * *"}
    assert "replacing 1 older" in line
    verbs = [call.split()[0] for call in server.calls if "recurringruns" in call]
    assert verbs.index("POST") < verbs.index("DELETE")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", "photos"),
        ("source", "/home/me/photos"),
        ("source", "/frostline/../etc"),
        ("store", "runs/store"),
        ("registry", "digits"),
        ("weights", "weights.h5"),
    ],
)
def test_what_a_cluster_cannot_reach_is_refused_before_anything_is_sent(server, field, value):
    config = RunConfig.model_validate({field: value})
    with pytest.raises(ConfigError, match=f"^{field}: received '{value}'; the cluster cannot reach it"):
        remote.submit(config, host=server.host)
    with pytest.raises(ConfigError, match=field):
        remote.schedule(config, cron="0 3 * * *", host=server.host, name="x")
    assert server.calls == []


@pytest.mark.parametrize("source", ["gs://bucket/photos", "tfds://tf_flowers", "digits", "/frostline/photos"])
def test_what_a_cluster_can_reach_is_accepted(server, source):
    config = RunConfig(source=source, weights="registry:digits@champion", store="gs://bucket/store")
    assert remote.submit(config, host=server.host).startswith("started")


def test_a_malformed_cron_expression_is_refused_before_anything_is_sent(server):
    with pytest.raises(ConfigError, match="cron"):
        remote.schedule(CONFIG, cron="every night", host=server.host, name="x")
    assert server.calls == []


@pytest.mark.parametrize("host", ["", "localhost:8080", "ftp://x", "http://"])
def test_a_host_that_is_no_http_address_is_refused(host):
    with pytest.raises(ConfigError, match=r"^host: received"):
        remote.submit(CONFIG, host=host)


def test_a_host_that_does_not_answer_is_one_line(capsys, caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(FrostlineError) as caught:
            remote.submit(CONFIG, host=host)
    assert str(caught.value) == f"{host}: Kubeflow Pipelines does not answer: [Errno 111] Connection refused"
    assert caught.value.exit_code == 1
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""
    assert caplog.records == []  # no warning for each of many attempts


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_a_web_server_that_is_not_kubeflow_is_one_line(status):
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as web:
        threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        with pytest.raises(FrostlineError, match=f"^http://127.0.0.1:{web.server_port}: ") as caught:
            remote.submit(CONFIG, host=f"http://127.0.0.1:{web.server_port}")
        web.shutdown()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cron", ["60 * * * *", "0 3 * 13 *", "*/0 * * * *", "every day of the week"])
def test_schedule_reports_why_the_server_refuses_a_cron_expression(server, cron):
    with pytest.raises(FrostlineError) as caught:
        remote.schedule(CONFIG, cron=cron, host=server.host, name="nightly")
    said = f"{server.host}: refused: Failed to create a recurring run: Schedule cron is not supported: '0 {cron}'"
    assert str(caught.value) == said
    assert caught.value.exit_code == 1
    assert server.recurring_runs == []


def test_the_servers_reason_for_a_refusal_is_shown(server, monkeypatch):
    arguments = CONFIG.arguments()
    monkeypatch.setattr(RunConfig, "arguments", lambda self: {**arguments, "colour": 1})
    with pytest.raises(FrostlineError, match=r"refused: the pipeline has no parameter \['colour'\]"):
        remote.submit(CONFIG, host=server.host)
