"""Uploading, starting, following and scheduling, against an HTTP server that answers kfp.Client's calls."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from frostline.config import FreezeConfig, RunConfig
from frostline.data.config import DataConfig
from frostline.errors import ConfigError, FrostlineError
from pipelines.compile import SHIPPED
from pipelines.remote import submit as remote
from pipelines.remote.cluster import Cluster

IMAGE = f"registry.example/frostline@sha256:{'0' * 64}"
CONFIG = RunConfig(model_name="digits", epochs=3, freeze=FreezeConfig(through="block1"), image=IMAGE)


def test_a_run_carries_the_configuration_the_experiment_and_the_service_account(server):
    line = remote.submit(CONFIG, Cluster(server.host), experiment="nightly", wait=False)
    (run,) = server.runs
    assert run["runtime_config"]["parameters"] == CONFIG.arguments()
    assert run["service_account"] == "frostline"
    assert run["description"] == "InceptionV3 with weights imagenet; freeze through: block1; gate as by default"
    assert server.pipelines[0]["description"].startswith("Fine-tune, certify")
    assert [experiment["display_name"] for experiment in server.experiments] == ["nightly"]
    assert line == f"started {server.host}/#/runs/details/{run['run_id']}"


def test_the_same_yaml_makes_one_pipeline_and_one_version(server):
    remote.submit(CONFIG, Cluster(server.host))
    remote.submit(RunConfig(model_name="other", epochs=1, image=IMAGE), Cluster(server.host))
    assert len(server.pipelines) == len(server.versions) == len(server.experiments) == 1
    assert len(server.runs) == 2
    assert {run["pipeline_version_reference"]["pipeline_version_id"] for run in server.runs} == {
        server.versions[0]["pipeline_version_id"]
    }


def test_a_changed_yaml_becomes_a_second_version_of_the_same_pipeline(server, monkeypatch, tmp_path):
    remote.submit(CONFIG, Cluster(server.host))
    changed = tmp_path / "changed.yaml"
    changed.write_text(SHIPPED.read_text() + "# another comment\n")
    monkeypatch.setattr(remote, "SHIPPED", changed)
    remote.submit(CONFIG, Cluster(server.host))
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

    remote.submit(CONFIG, Cluster(server.host))
    server.calls.clear()
    monkeypatch.setattr(server, "answer", hides_the_first_answer)
    remote.submit(CONFIG, Cluster(server.host))
    assert len(server.pipelines) == 1
    assert len(server.runs) == 2


def test_two_submits_at_once_share_an_experiment(server, monkeypatch):
    answer = server.answer

    def hides_the_first_answer(method, path, *rest):
        first = server.calls.count("GET experiments") == 0 and path == ["experiments"] and method == "GET"
        return answer(method, path, *rest) if not first else answer(method, path, *rest) and {}

    remote.submit(CONFIG, Cluster(server.host))
    server.calls.clear()
    monkeypatch.setattr(server, "answer", hides_the_first_answer)
    remote.submit(CONFIG, Cluster(server.host))
    assert len(server.experiments) == 1
    assert len({run["experiment_id"] for run in server.runs}) == 1


def test_a_run_too_large_for_all_that_kubeflow_does_is_told(server, capsys):
    labels = tuple(f"class-{number:05d}" for number in range(2000))
    remote.submit(CONFIG.model_copy(update={"data": DataConfig(classes=labels)}), Cluster(server.host))
    assert "the run is large for Kubeflow, about 1." in capsys.readouterr().err
    assert len(server.runs) == 1


def test_a_run_that_is_gone_is_not_waited_for(server):
    server.failures = [404]
    with pytest.raises(FrostlineError, match="refused: the gateway"):
        remote.submit(CONFIG, Cluster(server.host), wait=True)


def test_schedule_makes_a_recurring_run_that_neither_overlaps_nor_catches_up(server):
    line = remote.schedule(CONFIG, Cluster(server.host), cron="30 2 * * *", name="nightly")
    (run,) = server.recurring_runs
    assert run["display_name"] == "nightly"
    assert run["trigger"] == {"cron_schedule": {"cron": "0 30 2 * * *"}}
    assert run["max_concurrency"] == "1"
    assert run["no_catchup"] is True
    assert run["mode"] == "ENABLE"
    assert run["description"].startswith("InceptionV3 with weights imagenet; freeze through: block1")
    assert run["service_account"] == "frostline"
    assert run["runtime_config"]["parameters"] == CONFIG.arguments()
    assert line.startswith("scheduled nightly at '0 30 2 * * *': http")


def test_schedule_replaces_every_older_one_of_that_name_and_no_other(server):
    for hour in range(4):
        remote.schedule(CONFIG, Cluster(server.host), cron=f"0 {hour} * * *", name=f"other-{hour}")
    remote.schedule(CONFIG, Cluster(server.host), cron="0 5 * * *", name="nightly")
    server.calls.clear()
    line = remote.schedule(CONFIG, Cluster(server.host), cron="0 6 * * *", name="nightly", experiment="moved")
    crons = {run["display_name"]: run["trigger"]["cron_schedule"]["cron"] for run in server.recurring_runs}
    assert crons == {**{f"other-{hour}": f"0 0 {hour} * * *" for hour in range(4)}, "nightly": "0 0 6 * * *"}
    assert "replacing 1 older" in line
    verbs = [call.split()[0] for call in server.calls if "recurringruns" in call]
    assert verbs.index("POST") < verbs.index("DELETE")


def test_a_schedule_whose_run_still_runs_is_disabled_and_deleted_only_later(server):
    """Kubeflow ends the run of a recurring run that is deleted."""
    remote.schedule(CONFIG, Cluster(server.host), cron="0 5 * * *", name="nightly")
    (old,) = server.recurring_runs
    remote.submit(CONFIG, Cluster(server.host))
    server.runs[0] |= {"recurring_run_id": old["recurring_run_id"], "state": "RUNNING", "display_name": "tonight"}
    line = remote.schedule(CONFIG, Cluster(server.host), cron="0 6 * * *", name="nightly")
    assert "tonight still runs; the older schedule is disabled, and goes when you schedule again" in line
    assert [run["mode"] for run in server.recurring_runs] == ["DISABLE", "ENABLE"]
    server.runs[0]["state"] = "SUCCEEDED"
    line = remote.schedule(CONFIG, Cluster(server.host), cron="0 7 * * *", name="nightly")
    assert "replacing 2 older" in line
    assert "still runs" not in line
    assert [run["trigger"]["cron_schedule"]["cron"] for run in server.recurring_runs] == ["0 0 7 * * *"]


@pytest.mark.parametrize(("image", "told"), [
    ("", "name the image in your registry, by digest"),
    ("frostline:0.1.0", "expected REGISTRY/NAME@sha256:DIGEST; if the nodes have it already, add --image-on-nodes"),
    ("someone/frostline", "expected REGISTRY/NAME@sha256:DIGEST"),
    ("registry.example/", "expected REGISTRY/NAME@sha256:DIGEST"),
])  # fmt: skip
def test_an_image_that_no_node_can_pull_is_refused_before_anything_is_sent(server, image, told):
    config = CONFIG.model_copy(update={"image": image})
    with pytest.raises(ConfigError, match=f"^image: received '{image}'; {told}"):
        remote.submit(config, Cluster(server.host))
    with pytest.raises(ConfigError, match=r"^image"):
        remote.schedule(config, Cluster(server.host), cron="0 3 * * *", name="x")
    assert server.calls == []


def test_an_image_on_the_nodes_is_accepted_if_one_says_so_and_a_tag_is_told(server, capsys):
    config = CONFIG.model_copy(update={"image": "frostline:0.1.0"})
    assert remote.submit(config, Cluster(server.host), image_on_nodes=True).startswith("started")
    assert "tag" not in capsys.readouterr().err
    for image in ("registry.example:5000/team/frostline:1", "localhost:5000/frostline", "localhost/frostline:1"):
        remote.submit(CONFIG.model_copy(update={"image": image}), Cluster(server.host))
        assert f"image {image} is named by a tag" in capsys.readouterr().err


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
        remote.submit(config, Cluster(server.host))
    with pytest.raises(ConfigError, match=field):
        remote.schedule(config, Cluster(server.host), cron="0 3 * * *", name="x")
    assert server.calls == []


@pytest.mark.parametrize("source", ["gs://bucket/photos", "tfds://tf_flowers", "digits", "/frostline/photos"])
def test_what_a_cluster_can_reach_is_accepted(server, source):
    config = RunConfig(source=source, weights="registry:digits@champion", store="gs://bucket/store", image=IMAGE)
    assert remote.submit(config, Cluster(server.host)).startswith("started")


def test_a_malformed_cron_expression_is_refused_before_anything_is_sent(server):
    with pytest.raises(ConfigError, match="cron"):
        remote.schedule(CONFIG, Cluster(server.host), cron="every night", name="x")
    assert server.calls == []


@pytest.mark.parametrize("host", ["", "localhost:8080", "ftp://x", "http://"])
def test_a_host_that_is_no_http_address_is_refused(host):
    with pytest.raises(ConfigError, match=r"^host: received"):
        remote.submit(CONFIG, Cluster(host))


def test_a_host_that_does_not_answer_is_one_line(capsys, caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(FrostlineError) as caught:
            remote.submit(CONFIG, Cluster(host))
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
            remote.submit(CONFIG, Cluster(f"http://127.0.0.1:{web.server_port}"))
        web.shutdown()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cron", ["60 * * * *", "0 3 * 13 *", "*/0 * * * *", "every day of the week"])
def test_schedule_reports_why_the_server_refuses_a_cron_expression(server, cron):
    with pytest.raises(FrostlineError) as caught:
        remote.schedule(CONFIG, Cluster(server.host), cron=cron, name="nightly")
    said = f"{server.host}: refused: Failed to create a recurring run: Schedule cron is not supported: '0 {cron}'"
    assert str(caught.value) == said
    assert caught.value.exit_code == 1
    assert server.recurring_runs == []


def test_the_servers_reason_for_a_refusal_is_shown(server, monkeypatch):
    arguments = CONFIG.arguments()
    monkeypatch.setattr(RunConfig, "arguments", lambda self: {**arguments, "colour": 1})
    with pytest.raises(FrostlineError, match=r"refused: the pipeline has no parameter \['colour'\]"):
        remote.submit(CONFIG, Cluster(server.host))
