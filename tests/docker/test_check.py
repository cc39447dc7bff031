"""What `make image-check` finds fault with. The engine is a script here that answers as podman does with an image."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from frostline import warm

ROOT = Path(__file__).parents[2]
CHECK = ROOT / "docker" / "check.py"
GOOD = {"python": "/opt/venv/bin/python3", "found": [], "unlisted": [], "writable": []}
OURS = "[train] 13 frozen tensors are bit-identical after training, on every replica"
HISTORY = "3.68 MB\tCOPY dir:1 in /opt/frostline\n0 B\tUSER 10001\n176 MB\tADD file:2 in /\n"


@pytest.fixture
def check(tmp_path):
    """Run the check of an image: what Python says of itself inside, what the demo writes, and how it ends."""

    def run(inside=GOOD, log=OURS, code=0):
        (tmp_path / "inside").write_text(json.dumps(inside))
        (tmp_path / "log").write_text(log + "\n")
        (tmp_path / "history").write_text(HISTORY)
        engine = tmp_path / "engine"
        engine.write_text(
            f'#!/bin/sh\ncd "{tmp_path}"\necho "$*" >> asked\n'
            f'case "$*" in history*) cat history;; *"pipelines.demo"*) cat log; exit {code};; *) cat inside;; esac\n'
        )
        engine.chmod(0o700)
        return subprocess.run([sys.executable, CHECK, engine, "image"], check=False, capture_output=True, text=True)

    return run


def test_a_good_image_passes_and_its_layers_are_told_from_the_base_up(check, tmp_path):
    ended = check()
    assert (ended.returncode, ended.stderr) == (0, "")
    base, ours, demo = ended.stdout.splitlines()
    assert base.split() == ["176", "MB", "ADD", "file:2", "in", "/"]
    assert ours.split()[:2] == ["3.68", "MB"]
    assert re.fullmatch(r"demo as uid \d{6}: exit code 0, \d+ s, 1 lines", demo)
    started = [line for line in (tmp_path / "asked").read_text().splitlines() if line.startswith("run ")]
    assert len(started) == 2
    for option in ("--read-only", "--network none", "--cap-drop ALL", "--security-opt no-new-privileges"):
        assert all(option in line for line in started)


@pytest.mark.parametrize(
    "noise",
    [
        "[plan] WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
        "[plan] I0000 00:00:1795904307.142472     198 port.cc:153] oneDNN custom operations are on. You may see",
        "[train] E0000 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error",
        "warm_server.py:72: DeprecationWarning: This process (pid=9) is multi-threaded",
        "Traceback (most recent call last):",
    ],
)
def test_noise_in_the_log_of_a_step_fails(check, noise):
    ended = check(log=f"{OURS}\n{noise}")
    assert ended.returncode == 1
    assert ended.stderr == f"FAILED: noise in the log: {noise}\n"


@pytest.mark.parametrize(
    "wrong", [{"found": ["pip"]}, {"unlisted": ["keras"]}, {"writable": ["/opt"]}, {"python": "/usr/bin/python3"}]
)
def test_what_is_wrong_inside_fails(check, wrong):
    ended = check(inside={**GOOD, **wrong})
    assert ended.returncode == 1
    assert str({**GOOD, **wrong}) in ended.stderr


def test_a_demo_that_fails_fails_with_the_end_of_its_log(check):
    ended = check(code=3)
    assert ended.returncode == 1
    assert ended.stderr == f"FAILED: the demo ended with 3:\n{OURS}\n\n"


def test_the_demo_has_no_warm_process_so_that_each_step_is_a_new_interpreter(tmp_path):
    names = runpy.run_path(str(CHECK))
    assert names["DEMO"].startswith(names["COLD"])
    assert "PYTHONPATH=/tmp/cold python3 -m pipelines.demo && cat cold/ended" in names["DEMO"]
    subprocess.run(["sh", "-c", names["COLD"]], cwd=tmp_path, check=True)
    path = os.pathsep.join([str(tmp_path / "cold"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, warm.SOCKET: ""}

    told = subprocess.run(
        [sys.executable, "-m", "tests.support.warmed", "exit", "7"], cwd=ROOT, env=environment, check=False
    )
    assert told.returncode == 7
    assert not (tmp_path / "cold" / "ended").exists()
    server = [sys.executable, "-m", "pipelines.warm_server", str(tmp_path / "socket")]
    assert subprocess.run(server, cwd=ROOT, env=environment, check=False, timeout=60).returncode == 0
    assert (tmp_path / "cold" / "ended").exists()
    assert not (tmp_path / "socket").exists()
