"""A module runs in a fork of the warm process as in a new interpreter: same output, exit code and death, and sooner."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from frostline import warm

ROOT = Path(__file__).parents[2]
MODULE = ("-m", "tests.support.warmed")


# As Python 3.12 and newer: a fork warns where the process has threads, and OpenBLAS has.
WARNING_FORK = """
import os, runpy, sys, warnings
sys.path[0] = os.getcwd()  # as with -m
fork = os.fork
def warning_fork():
    pid = fork()
    if pid:
        warnings.warn("multi-threaded, use of fork() may lead to deadlocks", DeprecationWarning, stacklevel=2)
    return pid
os.fork = warning_fork
runpy.run_module("pipelines.warm_server", run_name="__main__", alter_sys=True)
"""


@contextlib.contextmanager
def serving(place, started_by=("-m", "pipelines.warm_server"), stderr=None):
    server = subprocess.Popen([sys.executable, *started_by, str(place)], cwd=ROOT, stderr=stderr)
    try:
        until = time.monotonic() + 60
        while not place.exists() and time.monotonic() < until:
            time.sleep(0.02)
        yield server
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def place():
    """The socket of a warm process, at a path that is too long for an address."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory) / ("long" * 40) / "warm"
        place.parent.mkdir()
        with serving(place):
            yield place


@pytest.fixture
def client(place, tmp_path):
    """`python3` as a local run has it, as a process."""

    def start(*arguments, warm_process=place, **more):
        environment = {**os.environ, warm.SOCKET: str(warm_process), "COLOR": "blue", **more.pop("env", {})}
        command = [sys.executable, "-IS", warm.__file__, *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=environment, cwd=more.pop("cwd", tmp_path), text=True, **pipes)

    return start


def test_a_module_has_the_directory_environment_arguments_and_files_of_who_asked(client, tmp_path):
    out, err = client(*MODULE, "tell", "a b", "ü\n", "").communicate("some input", timeout=60)
    assert err == ""
    told = json.loads(out)
    assert told.pop("random") != json.loads(client(*MODULE, "tell").communicate("", timeout=60)[0])["random"]
    assert told == {
        "words": ["a b", "ü\n", ""],
        "directory": str(tmp_path),
        "input": "some input",
        "color": "blue",
        "tensorflow": True,
        "main": "__main__",
    }


def test_a_fork_computes_with_tensorflow(client):
    assert client(*MODULE, "compute").communicate(timeout=60) == ("729\n", "")


@pytest.mark.parametrize(("action", "code", "said"), [("0", 0, ""), ("3", 3, ""), ("a reason", 1, "a reason\n")])
def test_the_exit_code_is_that_of_the_module(client, action, code, said):
    process = client(*MODULE, "exit", action)
    assert process.communicate(timeout=60) == ("", said)
    assert process.returncode == code


def test_an_exception_is_shown_and_is_code_1(client):
    process = client(*MODULE, "raise")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("Traceback")
    assert err.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_death_by_a_signal_is_one_of_who_asked(client, number):
    process = client(*MODULE, "die", str(int(number)))
    process.communicate(timeout=60)
    assert process.returncode == -number


def begun(path):
    until = time.monotonic() + 60
    while not (path.exists() and path.read_text()) and time.monotonic() < until:
        time.sleep(0.02)
    return int(path.read_text())


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid):
    until = time.monotonic() + 30
    while lives(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not lives(pid)


def test_sigterm_is_passed_on(client, tmp_path):
    process = client(*MODULE, "sleep", str(tmp_path / "pid"))
    pid = begun(tmp_path / "pid")
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 77
    assert ends(pid)


def test_a_fork_is_killed_with_who_asked(client, tmp_path):
    process = client(*MODULE, "sleep", str(tmp_path / "pid"))
    pid = begun(tmp_path / "pid")
    process.kill()
    process.communicate(timeout=60)
    assert ends(pid)


def test_where_the_warm_process_dies_the_module_counts_as_killed(client, tmp_path):
    with serving(tmp_path / "warm") as server:
        process = client(*MODULE, "sleep", str(tmp_path / "pid"), warm_process=tmp_path / "warm")
        pid = begun(tmp_path / "pid")
        server.kill()
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        assert ends(pid)


@pytest.mark.parametrize("warm_process", ["", "nobody", "no directory/warm"])
def test_without_a_warm_process_it_is_a_new_interpreter(client, tmp_path, warm_process):
    where = tmp_path / warm_process if warm_process else ""
    out, err = client(*MODULE, "tell", "word", warm_process=where, cwd=ROOT).communicate("x", timeout=60)
    assert err == ""
    told = json.loads(out)
    assert (told["words"], told["input"], told["tensorflow"]) == (["word"], "x", False)


def test_code_on_the_command_line_is_run_by_a_new_interpreter(client):
    out, err = client("-c", "import sys; print('tensorflow' in sys.modules, sys.argv)", "x").communicate(timeout=60)
    assert (out, err) == ("False ['-c', 'x']\n", "")


def test_many_at_once(client):
    processes = [client(*MODULE, "exit", str(number)) for number in range(20)]
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == list(range(20))


def test_a_fork_writes_no_warning_of_threads_into_the_log(client, tmp_path):
    with (
        (tmp_path / "log").open("w") as log,
        serving(tmp_path / "warm", ("-c", WARNING_FORK), stderr=log),
    ):
        out, err = client(*MODULE, "tell", warm_process=tmp_path / "warm").communicate("", timeout=60)
    assert json.loads(out)["tensorflow"]
    assert (err, (tmp_path / "log").read_text()) == ("", "")
