"""What `make accept` types, against the test server: the commands are accepted, and what they print is understood."""

import pytest

from tests.acceptance.conftest import DIGITS, EXPERIMENT, NAME, Installation, run_of

IMAGE = "registry.example/frostline:0.1.0"


@pytest.fixture
def installation(server, tmp_path, monkeypatch):
    monkeypatch.setenv("KFP_TOKEN", "abc")
    server.token = "abc"
    return Installation(
        {"KFP_HOST": server.host, "FROSTLINE_IMAGE": IMAGE, "KFP_OPTIONS": "--token-env KFP_TOKEN"}, tmp_path
    )


def test_a_run_is_submitted_with_what_makes_it_slow_and_its_identifier_is_found(server, installation):
    done = installation.submit("accept-killed", "epochs=400", "training={checkpoint_seconds: 5}", options=["--no-wait"])
    assert run_of(done) == server.runs[0]["run_id"]
    parameters = server.runs[0]["runtime_config"]["parameters"]
    assert (parameters["epochs"], parameters["training"]["checkpoint_seconds"]) == (400, 5)
    assert (parameters["image"], parameters["store"]) == (IMAGE, "/frostline/accept-killed/store")


def test_a_failed_run_still_gives_its_identifier(server, installation):
    server.states = ["FAILED"]
    done = installation.submit("accept-image", options=["--wait", "--wait-for-node", "90"], check=False)
    assert done.returncode == 1
    assert run_of(done) == server.runs[0]["run_id"]


def test_a_schedule_is_replaced_paused_and_deleted(server, installation):
    for cron in ("0 3 1 1 *", "* * * * *"):
        settings = ["--set", f"image={IMAGE}", *EXPERIMENT, "--image-on-nodes"]
        installation.frostline("schedule", DIGITS, "--cron", cron, "--name", NAME, *settings)
    assert "'0 * * * * *'" in installation.frostline("schedules", "status", NAME).stdout
    assert installation.frostline("schedules", "pause", NAME).stdout == f"{NAME} is paused\n"
    assert installation.frostline("schedules", "delete", NAME).stdout == f"{NAME} is deleted\n"
    assert server.recurring_runs == []


@pytest.mark.parametrize("before", [False, True])
def test_what_kubeflow_has_of_it_is_removed_and_nothing_else(server, installation, tmp_path, before):
    if before:
        installation.frostline("submit", DIGITS, "--set", f"image={IMAGE}", "--no-wait")
        environment = {"KFP_HOST": server.host, "FROSTLINE_IMAGE": IMAGE, "KFP_OPTIONS": "--token-env KFP_TOKEN"}
        installation = Installation(environment, tmp_path)
    others = [list(each) for each in (server.runs, server.experiments, server.pipelines, server.versions)]
    for number in range(3):  # more than fit on a page
        installation.submit(f"accept-{number}", options=["--no-wait"])
    installation.forget()
    assert [server.runs, server.experiments, server.pipelines, server.versions] == others
    assert bool(others[0]) == before
