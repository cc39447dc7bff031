"""The local runner with small compiled pipelines: real processes, real failures."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kfp import compiler, dsl
from rich.console import Console

from frostline.artifacts import read_json
from frostline.errors import FrostlineError, StorageError
from pipelines import local
from pipelines.follow import Steps


def component(function):
    return dsl.component(function, base_image="frostline:test", install_kfp_package=False)


@component
def cut() -> list[str]:
    return ["a", "b"]


@component
def work(shard: str, behaviour: str, shared: str, made: dsl.Output[dsl.Artifact]):
    import os
    import time
    from pathlib import Path

    from frostline import events
    from frostline.errors import DataError

    @events.step("work")
    def run():
        (Path(shared) / f"{shard}.attempt-{os.getpid()}").touch()
        events.say(f"shard {shard}")
        if behaviour == "refuse":
            raise DataError(f"{shard}: nothing in here is an image")
        if behaviour == "die":
            print("about to be killed")
            os.kill(os.getpid(), 9)
        for _ in events.progress(range(3), total=3, unit="images"):
            time.sleep(600 if behaviour == "sleep" else 0.01)
        Path(made.path).write_text(shard)

    run()


@component
def gather(made: dsl.Input[list[dsl.Artifact]], outcome: str) -> str:
    from pathlib import Path

    return outcome + " " + "".join(sorted(Path(item.path).read_text() for item in made))


@dsl.pipeline(name="small")
def small(behaviour: str, shared: str, outcome: str) -> str:
    shards = cut()
    with dsl.ParallelFor(shards.output) as shard:
        worked = work(shard=shard, behaviour=behaviour, shared=shared)
        worked.set_retry(3, "30s", 2.0, "3600s")
    return gather(made=dsl.Collected(worked.outputs["made"]), outcome=outcome).output


@pytest.fixture(scope="session")
def small_yaml(tmp_path_factory):
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compiler.Compiler().compile(small, str(path))
    return path


@pytest.fixture
def run_dir(tmp_path, small_yaml):
    path = tmp_path / "python3 runs" / "one"  # a blank and the word python3: both break kfp.local's own commands
    path.mkdir(parents=True)
    (path / "pipeline.yaml").write_bytes(small_yaml.read_bytes())
    return path


def arguments(tmp_path, behaviour="work", outcome="pushed"):
    return {"behaviour": behaviour, "shared": str(tmp_path), "outcome": outcome}


def plain():
    return Console(file=io.StringIO(), force_terminal=False)


def processes_of(run_dir):
    commands = {path.parent.name: _read(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
    return [pid for pid, command in commands.items() if str(run_dir) in command and pid != str(os.getpid())]


def _read(path):
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it has ended meanwhile
        return ""


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_run_gives_its_output_its_times_and_plain_lines(run_dir, tmp_path):
    console, steps = plain(), Steps()

    assert local.run_yaml(run_dir, arguments(tmp_path), console, steps) == "pushed ab"

    assert set(steps.seconds()) == {"cut", "work", "gather"}
    assert all(seconds > 0.03 for seconds in steps.seconds().values())  # starting Python alone takes longer
    lines = console.file.getvalue().splitlines()
    assert "work        shard a" in lines
    assert sum(line.startswith("work        done in ") for line in lines) == 2
    assert "[work] shard b" in (run_dir / "run.log").read_text()
    assert not (run_dir / "tmp").exists()


def test_the_error_of_a_failed_step_is_shown_and_the_step_is_not_retried(run_dir, tmp_path):
    with pytest.raises(FrostlineError) as caught:
        local.run_yaml(run_dir, arguments(tmp_path, "refuse"), plain())

    assert "step work failed: " in str(caught.value)
    assert "nothing in here is an image" in str(caught.value)
    assert str(run_dir / "run.log") in str(caught.value)
    assert caught.value.exit_code == 1
    assert len(list(tmp_path.glob("a.attempt-*"))) <= 1
    assert not processes_of(run_dir)


def test_a_killed_step_is_reported_with_its_signal_and_its_last_lines(run_dir, tmp_path):
    with pytest.raises(FrostlineError, match="step work died without an error of its own, killed by SIGKILL") as caught:
        local.run_yaml(run_dir, arguments(tmp_path, "die"), plain())

    assert "about to be killed" in str(caught.value)


def test_a_runner_that_cannot_start_is_reported_with_the_last_line_of_its_log(run_dir, tmp_path):
    (run_dir / "pipeline.yaml").write_text("components: {}\n")

    with pytest.raises(FrostlineError, match="the runner failed although no step had, exit code 1") as caught:
        local.run_yaml(run_dir, arguments(tmp_path), plain())

    assert "\n" not in str(caught.value)
    assert str(run_dir / "run.log") in str(caught.value)


PARENT = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
from pathlib import Path
from rich.console import Console
from pipelines import local
local.run_yaml(Path(sys.argv[1]), json.loads(sys.argv[2]), Console(stderr=True))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_parent_ends_every_process_of_the_run(run_dir, tmp_path, number):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(run_dir), json.dumps(arguments(tmp_path, "sleep"))],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: len(list(tmp_path.glob("?.attempt-*"))) == 2)
        assert processes_of(run_dir)
        parent.send_signal(number)
        parent.wait(20)
    finally:
        parent.kill()
        parent.wait()

    wait_for(lambda: not processes_of(run_dir), 10)
    steps = [int(path.name.rpartition("-")[2]) for path in tmp_path.glob("?.attempt-*")]
    wait_for(lambda: not any(_lives(pid) for pid in steps), 10)


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # a zombie waits for an init that may never come in a container
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


class Configuration:
    """What `local.run` needs of a RunConfig, for a pipeline that is not Frostline's."""

    model_name = "small"

    def __init__(self, values):
        self.arguments = lambda: values


def run_small(tmp_path, small_yaml, outcome):
    return local.run(Configuration(arguments(tmp_path, outcome=outcome)), tmp_path / "runs", plain(), small_yaml)


def test_a_run_directory_tells_the_whole_story(tmp_path, small_yaml):
    summary = run_small(tmp_path, small_yaml, "held: too weak")

    run_dir = Path(summary["directory"])
    assert run_dir.parent == tmp_path / "runs"
    assert read_json(run_dir / "summary.json", "run") == {"schema": "frostline/run/v1", **summary}
    assert (summary["status"], summary["outcome"]) == ("succeeded", "held: too weak ab")
    assert summary["seconds"] >= max(summary["steps"].values())
    made = {path.name for path in run_dir.iterdir()}
    assert (run_dir / "pipeline.yaml").read_bytes() == small_yaml.read_bytes()
    assert made >= {"pipeline.yaml", "arguments.json", "events.jsonl", "run.log", "artifacts", "outcome.json"}


def test_an_outcome_that_neither_pushed_nor_held_is_a_failure(tmp_path, small_yaml):
    with pytest.raises(FrostlineError, match="without pushing or holding the model: its outcome is 'done ab'"):
        run_small(tmp_path, small_yaml, "done")

    (summary,) = (tmp_path / "runs").glob("*/summary.json")
    assert read_json(summary, "run")["status"] == "failed"


def test_the_runner_needs_no_compiler_of_its_own():
    program = "import sys, pipelines.local; sys.exit('kfp' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_runs_of_the_same_second_get_their_own_directories(tmp_path):
    made = [local.new_run_directory(tmp_path, "digits") for _ in range(3)]

    assert len({path.name for path in made}) == 3
    assert all(path.name.startswith("digits-20") for path in made)


def test_a_root_that_is_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "root").write_text("")

    with pytest.raises(StorageError, match="root"):
        local.new_run_directory(tmp_path / "root", "digits")


def test_pages_are_put_beside_the_summary(tmp_path):
    for page in (
        "plan/freeze_plan_page",
        "validate/data_page",
        "evaluate/evaluation_page",
        "gate/decision_page",
        "gate/report",
    ):
        path = tmp_path / "artifacts" / "frostline-finetune-1" / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page)

    pages = local.collect_pages(tmp_path)

    assert set(pages) == {"plan.html", "data.html", "evaluation.html", "report.html", "decision.md"}
    assert (tmp_path / "report.html").read_text() == "gate/report"
