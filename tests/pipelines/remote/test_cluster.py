"""How a connection is made, and why it is refused, against a server with the modes of the real one."""

import pytest

from frostline.config import RunConfig
from frostline.errors import ConfigError, FrostlineError
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
    with connected(Cluster(f"{server.host}/")) as client:
        assert client.list_experiments().experiments is None
    assert capsys.readouterr() == ("", "")
