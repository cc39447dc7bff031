"""Stages in processes of their own: real ones are killed, and a stage of the tests dies in every way."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from frostline import attempts

from tests.support import resuming

PROBE = """
import json, os, signal, sys, time
from pathlib import Path
from frostline.errors import ConfigError

def run(*, log, ways):
    attempts = Path(log)
    number = len(attempts.read_text().split()) if attempts.exists() else 0
    with attempts.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    way = ways[min(number, len(ways) - 1)]
    if way == "wait":
        time.sleep(60)
    if way == "refuse":
        raise ConfigError("freeze.through", "blok1", "expected the name of a layer; did you mean block1" + " more" * 40)
    if way == "bug":
        raise ZeroDivisionError("a bug")
    if isinstance(way, int):
        os.kill(os.getpid(), way)
    return {"way": way, "number": number}
"""


@pytest.fixture
def log(tmp_path, monkeypatch):
    """The probe is a module `frostline.probe` of the processes that the test starts; it logs its attempts here."""
    (tmp_path / "probe.py").write_text(PROBE)
    (tmp_path / "sitecustomize.py").write_text(f"import frostline\nfrostline.__path__.append({str(tmp_path)!r})\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("FROSTLINE_EVENTS", str(tmp_path / "events.jsonl"))
    monkeypatch.setattr(attempts, "CGROUPS", tmp_path)
    return tmp_path / "log"


def probe(log, *ways):
    return attempts.run("probe", log=str(log), ways=list(ways))


def events(log):
    path = log.parent / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_what_a_stage_returns_arrives(log):
    assert probe(log, "fine") == {"way": "fine", "number": 0}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_stage_that_a_signal_killed_is_started_again(log, capfd, number):
    (log.parent / "memory.max").write_text("2000000000\n")
    assert probe(log, number, number, "fine") == {"way": "fine", "number": 2}
    first, second = [line for line in capfd.readouterr().err.splitlines() if "killed" in line]
    assert re.fullmatch(
        rf"probe was killed by {signal.Signals(number).name} \(memory: it used up to [0-9.]+ [MG]B of 2 GB, the memory "
        r"limit\); starting it again, at most 3 more times",
        first,
    )
    assert second.endswith("at most 2 more times")
    assert [event["step"] for event in events(log)] == ["probe", "probe"]


def test_a_stage_that_is_always_killed_ends_with_an_error(log, capfd):
    with pytest.raises(SystemExit) as ended:
        probe(log, signal.SIGKILL)
    assert ended.value.code == 137
    assert len(log.read_text().split()) == 4
    error = events(log)[-1]
    assert (error["kind"], error["step"], error["exit_code"]) == ("error", "probe", 137)
    assert error["message"].endswith("; 4 attempts have ended in this way")
    assert "4 attempts have ended in this way" in " ".join(capfd.readouterr().err.split())


def test_an_error_of_the_stage_is_not_tried_again_and_fits_on_a_narrow_page(log, capfd):
    with pytest.raises(SystemExit) as ended:
        probe(log, "refuse", "fine")
    assert ended.value.code == 2
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("probe failed: freeze.through: expected the name of a layer; did you mean block1 more")
    assert max(map(len, lines)) <= 100
    assert " ".join(lines).endswith("more more (received 'blok1')")


def test_a_bug_shows_its_traceback_and_is_not_tried_again(log, capfd):
    with pytest.raises(SystemExit) as ended:
        probe(log, "bug", "fine")
    assert ended.value.code == 1
    assert "ZeroDivisionError: a bug" in capfd.readouterr().err
    assert len(log.read_text().split()) == 1


def test_after_sigterm_no_attempt_follows(log, tmp_path):
    """The pod is being removed: the signal reaches this process, which passes it on."""
    code = f"from frostline import attempts; attempts.run('probe', log={str(log)!r}, ways=['wait', 'fine'])"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        pid = started(log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 128 + signal.SIGTERM
    assert not alive(pid)
    assert len(log.read_text().split()) == 1


def test_the_stage_dies_with_the_process_that_started_it(log):
    code = f"from frostline import attempts; attempts.run('probe', log={str(log)!r}, ways=['wait'])"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        pid = started(log)
        process.kill()
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)


def started(log):
    """The process of the first attempt, once it runs."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if log.exists() and log.read_text().endswith("\n"):
            return int(log.read_text())
        time.sleep(0.02)
    raise AssertionError("the stage did not start")


def alive(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("files", "limit", "kills"), [
    ({"memory.max": "max\n", "memory.events": "low 0\noom 2\noom_kill 1\noom_group_kill 0\n"}, None, 1),
    ({"memory.max": "1073741824\n", "memory.events": "oom_kill 0\n"}, 1 << 30, 0),
    ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None, 0),
    ({"memory/memory.limit_in_bytes": "5000\n", "memory/memory.oom_control": "under_oom 0\noom_kill 3\n"}, 5000, 3),
    ({}, None, 0),
])  # fmt: skip
def test_the_memory_limit_and_its_kills_are_read_under_both_versions_of_cgroups(
    tmp_path, monkeypatch, files, limit, kills
):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(attempts, "CGROUPS", tmp_path)
    assert (attempts._memory_limit(), attempts._out_of_memory_kills()) == (limit, kills)


def test_a_training_that_is_killed_goes_on_from_its_checkpoint_in_the_same_pod(tmp_path, capfd):
    bench = resuming.prepare(tmp_path / "bench")
    whole = resuming.train(bench, tmp_path / "whole")
    broken = tmp_path / "broken"
    killer = threading.Thread(target=kill_after_first_checkpoint, args=(broken,), daemon=True)
    killer.start()
    arguments = {name: value for name, value in resuming.OPTIONS.items() if name != "training"}
    attempts.run(
        "train", info=bench.path("info"), freeze_plan=bench.path("plan"), backbone_weights=bench.path("weights"),
        features=[str(path) for path in bench.features()], cache={"mode": "auto"}, seed=0, image="image:1",
        training=resuming.TRAINING, store=str(broken / "store"),
        model=str(broken / "model"), record=str(broken / "record"), logs=str(broken / "logs"), **arguments,
    )  # fmt: skip
    killer.join()
    assert resuming.outcome(broken) == whole
    assert resuming.report(broken)["resumed_from"] == 3 * resuming.STEPS
    assert "train was killed by SIGKILL" in capfd.readouterr().err


def kill_after_first_checkpoint(place):
    while not resuming.checkpoints(place):
        time.sleep(0.005)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    [child] = [int(pid) for pid in children if b"frostline.attempts" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(child, signal.SIGKILL)


def test_a_signal_that_came_before_there_was_a_process_ends_it_too():
    child = attempts._Child()
    child.stopping = True
    assert child.run(["sleep", "60"], b"") == -signal.SIGTERM
