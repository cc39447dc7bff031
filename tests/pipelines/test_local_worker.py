"""The child process of a local run: what it makes of a step's process, and of the pipeline's output."""

import json
import sys

import pytest
from kfp import compiler, dsl

from frostline import warm
from frostline.artifacts import write_json
from pipelines import local_worker
from pipelines.documents import OUTCOME


@pytest.fixture
def events(tmp_path, monkeypatch):
    """A function that returns the events written so far."""
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv("FROSTLINE_EVENTS", str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


def run_step(code, **environment):
    return local_worker.run_step([sys.executable, "-c", code, "--function_to_execute", "train"], environment)


def test_a_steps_output_is_logged_with_its_name_and_its_process_becomes_two_events(events, capfd):
    assert run_step("import os; print('one\\n\\ntwo'); print(os.environ['COLOUR'])", COLOUR="amber") == 0

    assert capfd.readouterr().out == "[train] one\n[train] \n[train] two\n[train] amber\n"
    launch, exit_ = events()
    assert (launch["kind"], launch["step"]) == ("launch", "train")
    assert (exit_["kind"], exit_["step"], exit_["code"]) == ("exit", "train", 0)
    assert exit_["number"] == launch["number"]
    assert exit_["last"] == "two / amber"


def test_a_steps_exit_code_and_standard_error_are_kept(events, capfd):
    assert run_step("import sys; sys.stderr.write('no space left\\n'); sys.exit(3)") == 3
    assert run_step("import os; os.kill(os.getpid(), 9)") == -9

    assert "[train] no space left" in capfd.readouterr().out
    failed, killed = [event for event in events() if event["kind"] == "exit"]
    assert (failed["code"], failed["last"]) == (3, "no space left")
    assert killed["code"] == -9
    assert killed["number"] == failed["number"] + 1


def test_a_step_reads_nothing_from_the_terminal(events):
    assert run_step("import sys; sys.exit(len(sys.stdin.read()))") == 0


@dsl.component(base_image="step:1", install_kfp_package=False)
def word() -> str:
    return "pushed"


@dsl.component(base_image="step:1", install_kfp_package=False)
def silent():
    pass


@dsl.pipeline(name="speaks")
def speaks() -> str:
    return word().output


@dsl.pipeline(name="says-nothing")
def says_nothing():
    silent()


@pytest.mark.parametrize(("pipeline", "outcome"), [(speaks, "pushed"), (says_nothing, "")])
def test_the_outcome_is_the_pipelines_one_output(tmp_path, monkeypatch, pipeline, outcome):
    from kfp import local
    from kfp.local import subprocess_task_handler as handler

    for name in ("replace_python_executable", "run_local_subprocess"):  # run() replaces both: undone after the test
        monkeypatch.setattr(handler, name, getattr(handler, name))
    monkeypatch.setattr(local.config.LocalExecutionConfig, "instance", None)
    (tmp_path / "path" / "docker").mkdir(parents=True)  # kfp would take it for Docker's client
    monkeypatch.syspath_prepend(tmp_path / "path")
    monkeypatch.setitem(sys.modules, "docker", None)  # run() sets it: undone after the test
    monkeypatch.delitem(sys.modules, "docker")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv(warm.SOCKET, "")  # run() sets it
    compiler.Compiler().compile(pipeline, str(tmp_path / "pipeline.yaml"))
    write_json(tmp_path / "arguments.json", "arguments", {"arguments": {}})

    local_worker.run(tmp_path)

    assert OUTCOME.read(tmp_path)["outcome"] == outcome
