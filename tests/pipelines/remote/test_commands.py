"""What the commands hand over to the code that speaks to a cluster."""

import pytest

from pipelines import cli
from pipelines.remote import operate, submit
from pipelines.remote.cluster import Cluster

FLOWERS = "source: tfds://tf_flowers\nmodel_name: flowers\n"


def call(capsys, *arguments):
    """Exit code, standard output and standard error of the command, in this process."""
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(FLOWERS)
    return path


def test_submit_and_schedule_hand_over_a_checked_configuration(capsys, monkeypatch, config):
    calls = []

    def record(config, cluster, **options):
        calls.append((config.model_name, config.epochs, cluster, options))
        return "https://example.invalid/runs/1"

    monkeypatch.setattr(submit, "submit", record)
    monkeypatch.setattr(submit, "schedule", record)
    remote = ["--host", "http://localhost:1", "--set", "epochs=3"]

    assert call(capsys, "submit", str(config), *remote, "--no-wait")[:2] == (0, "https://example.invalid/runs/1\n")
    assert call(capsys, "schedule", str(config), *remote, "--cron", "0 2 * * *")[0] == 0
    assert call(capsys, "schedule", str(config), *remote, "--cron", "0 2 * * *", "--name", "nightly")[0] == 0

    cluster, options = Cluster("http://localhost:1"), {"experiment": "frostline", "image_on_nodes": False}
    assert calls == [
        ("flowers", 3, cluster, {**options, "wait": False, "retries": 0, "wait_for_node": 1800}),
        ("flowers", 3, cluster, {**options, "cron": "0 2 * * *", "name": "flowers"}),
        ("flowers", 3, cluster, {**options, "cron": "0 2 * * *", "name": "nightly"}),
    ]
    more = ["--namespace", "team-a", "--token-env", "T", "--cookies-env", "C", "--ca-file", "ca.pem",
            "--service-account", "trainer", "--image-on-nodes"]  # fmt: skip
    for command in (["submit", str(config), *remote], ["schedule", str(config), *remote, "--cron", "0 2 * * *"]):
        assert call(capsys, *command, *more)[0] == 0
        assert calls.pop()[2:3] == (Cluster("http://localhost:1", "team-a", "T", "C", "ca.pem", "trainer"),)
    code, _, err = call(capsys, "submit", str(config), *remote, "--set", "image_size=64")
    assert (code, len(calls)) == (2, 3)
    assert err.startswith("frostline: error: image_size: received 64")
    assert err.count("\n") == 1


def test_resume_terminate_and_schedules_hand_over_what_they_were_given(capsys, monkeypatch):
    calls = []

    def record(name):
        return lambda *arguments, **options: calls.append((name, *arguments, options)) or name

    for name in ("resume", "terminate", "status", "set_paused", "delete"):
        monkeypatch.setattr(operate, name, record(name))
    host, cluster = ["--host", "http://localhost:1"], Cluster("http://localhost:1")
    assert call(capsys, "resume", "run-1", *host, "--no-wait", "--retries", "2")[:2] == (0, "resume\n")
    for arguments in (["terminate", "run-1"], ["schedules", "status", "n"], ["schedules", "pause", "n"],
                      ["schedules", "unpause", "n"], ["schedules", "delete", "n"]):  # fmt: skip
        assert call(capsys, *arguments, *host)[0] == 0
    assert calls == [
        ("resume", cluster, "run-1", {"wait": False, "retries": 2, "wait_for_node": 1800}),
        ("terminate", cluster, "run-1", {}),
        ("status", cluster, "n", {}),
        ("set_paused", cluster, "n", {"paused": True}),
        ("set_paused", cluster, "n", {"paused": False}),
        ("delete", cluster, "n", {}),
    ]
    assert call(capsys, "schedules", "remove", "n", *host)[0] == 2
    assert call(capsys, "resume", "run-1", *host, "--retries", "-1")[0] == 2
