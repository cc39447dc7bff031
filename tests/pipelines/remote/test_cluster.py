"""How a connection is made, and why it is refused, against a server with the modes of the real one."""

import json
from pathlib import Path

import kfp
import pytest

from frostline.config import RunConfig
from frostline.errors import ConfigError, FrostlineError
from pipelines import cli
from pipelines.remote import operate
from pipelines.remote import submit as remote
from pipelines.remote.cluster import Cluster, connected

CONFIG = RunConfig(image=f"registry.example/frostline@sha256:{'0' * 64}")


def test_a_multi_user_installation_needs_a_namespace_and_is_told_before_anything_is_created(server):
    server.multi_user = True
    with pytest.raises(ConfigError, match=r"--namespace: received ''; .* is multi-user; name the namespace of your"):
        remote.submit(CONFIG, Cluster(server.host))
    assert {call.split()[0] for call in server.calls} == {"GET"}
    assert remote.submit(CONFIG, Cluster(server.host, namespace="team-a")).startswith("started")
    assert [one["namespace"] for one in server.experiments] == ["team-a"]
    assert [one["namespace"] for one in server.pipelines] == ["team-a"]


def test_a_namespace_that_kfp_is_configured_with_is_used_where_there_are_users_and_told(server, capsys):
    Path(kfp.Client._LOCAL_KFP_CONTEXT).write_text(json.dumps({"namespace": "team-a"}))
    remote.submit(CONFIG, Cluster(server.host))
    assert "namespace" not in server.pipelines.pop()
    server.experiments.clear()
    assert capsys.readouterr().err == ""
    server.multi_user = True
    remote.submit(CONFIG, Cluster(server.host))
    assert [one["namespace"] for one in (*server.experiments, *server.pipelines)] == ["team-a", "team-a"]
    assert "namespace team-a, as kfp is configured here" in capsys.readouterr().err
    remote.schedule(CONFIG, Cluster(server.host), cron="0 3 * * *", name="nightly")
    assert operate.status(Cluster(server.host), "nightly").startswith("nightly  next ")
    assert operate.delete(Cluster(server.host), "nightly") == "nightly is deleted"
    capsys.readouterr()
    remote.submit(CONFIG, Cluster(server.host, namespace="team-a"))
    assert capsys.readouterr().err == ""


def test_schedules_work_in_a_namespace(server):
    server.multi_user = True
    cluster = Cluster(server.host, namespace="team-a")
    for hour in (1, 2):
        line = remote.schedule(CONFIG, cluster, cron=f"0 {hour} * * *", name="nightly")
    assert "replacing 1 older" in line
    assert len(server.recurring_runs) == 1


def test_a_namespace_on_an_installation_without_users_is_refused(server):
    with pytest.raises(ConfigError, match=r"--namespace: received 'team-a'; .* is not multi-user"):
        remote.submit(CONFIG, Cluster(server.host, namespace="team-a"))


def test_a_token_that_kubeflow_mounts_is_used_where_none_is_named(server, monkeypatch, tmp_path):
    server.token = "mounted"
    (tmp_path / "token").write_text("mounted")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert remote.submit(CONFIG, Cluster(server.host)).startswith("started")


def test_a_token_comes_from_the_environment(server, monkeypatch):
    server.token = "abc"
    with pytest.raises(
        FrostlineError, match="User identity is empty in the request header; say who you are: --token-env"
    ):
        remote.submit(CONFIG, Cluster(server.host))
    with pytest.raises(ConfigError, match="--token-env: received 'KFP_TOKEN'; there is no such environment variable"):
        remote.submit(CONFIG, Cluster(server.host, token_env="KFP_TOKEN"))
    monkeypatch.setenv("KFP_TOKEN", "abc")
    assert remote.submit(CONFIG, Cluster(server.host, token_env="KFP_TOKEN")).startswith("started")


def test_the_service_account_can_be_chosen(server):
    remote.submit(CONFIG, Cluster(server.host, service_account="trainer"))
    assert server.runs[0]["service_account"] == "trainer"


def test_the_connection_yields_a_client_that_prints_nothing(server, capsys):
    with connected(Cluster(f"{server.host}/")) as (client, _):
        assert client.list_experiments().experiments is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("host", [
    "https://ann:s3cret@kfp.example/x", "http://s3cret@kfp.example/x", "https://ann:s3@cret/s3cret@kfp.example/x",
    "ann:s3cret@kfp.example/x", "ftp://ann:s3cret@kfp.example/x", "https://ann:s3cret word@kfp.example/x",
])  # fmt: skip
@pytest.mark.parametrize("command", [
    ["submit", "CONFIG"], ["schedule", "CONFIG", "--cron", "0 3 * * *"], ["resume", "run-1"], ["terminate", "run-1"],
    ["schedules", "status", "x"], ["schedules", "delete", "x"], ["check"],
])  # fmt: skip
def test_a_password_in_the_address_is_refused_and_not_printed(capfd, tmp_path, host, command):
    (tmp_path / "run.yaml").write_text(f"image: registry.example/frostline@sha256:{'0' * 64}\n")
    command = [str(tmp_path / "run.yaml") if word == "CONFIG" else word for word in command]
    group = ["cluster"] if command == ["check"] else []
    with pytest.raises(SystemExit) as caught:
        cli.main([*group, *command, "--host", host])
    out, err = capfd.readouterr()
    assert caught.value.code == 2
    assert out == ""
    assert err == (
        "frostline: error: host: received '...@kfp.example/x'; leave out the user and password; name variables with "
        "--token-env or --cookies-env instead\n"
    )
