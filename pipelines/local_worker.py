"""The child process of `frostline run`: runs RUN_DIR/pipeline.yaml through kfp.local and writes its outcome.

Started as `python -m pipelines.local_worker RUN_DIR`, in its own session. What it and the steps print is the run's
log. It also writes two events for each step's process, `launch` and `exit`, around the step's own events.
"""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import subprocess
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from frostline import events, warm
from pipelines.documents import ARGUMENTS, ARTIFACTS_DIRECTORY, OUTCOME, PIPELINE_FILE

_numbers = itertools.count(1)


def run_step(full_command: Sequence[str], env_vars: Mapping[str, str] | None = None) -> int:
    """Run one step's process, log its output with the step's name before each line, and return its exit code.

    After a failure kfp.local waits 30 s and retries, as the pipeline says: on a cluster that survives a lost node.
    Locally a retry would only fail again, so the parent ends the run at the `exit` event of the first failure.
    """
    name = full_command[full_command.index("--function_to_execute") + 1]
    number, last = next(_numbers), deque[str](maxlen=2)  # two: a shell adds "Killed" after the step's own last line
    events.emit("launch", step=name, number=number)
    with subprocess.Popen(  # noqa: S603  (the command of the compiled pipeline)
        full_command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **(env_vars or {})},
    ) as process:
        for line in process.stdout or ():
            last.extend(filter(None, [line.strip()]))
            sys.stdout.write(f"[{name}] {line}")
            sys.stdout.flush()
    events.emit("exit", step=name, number=number, code=process.returncode, last=" / ".join(last)[:500])
    return process.returncode


def run(run_dir: Path) -> None:
    """Run the directory's pipeline.yaml with its arguments.json, and write outcome.json."""
    with _warm_process(run_dir / "tmp"):  # which imports TensorFlow while this process imports kfp
        outcome = _outcome(run_dir)
    OUTCOME.write(run_dir, {"outcome": outcome})


def _outcome(run_dir: Path) -> str:
    """Run the pipeline through kfp.local; its output, empty if it has none."""
    # Not installed, as far as kfp.local knows: it would take a folder called docker on PYTHONPATH for Docker's client.
    sys.modules["docker"] = None  # type: ignore[assignment]
    from kfp import components, local
    from kfp.local import subprocess_task_handler as handler

    # kfp.local replaces every "python3" in a command by the interpreter's path, unquoted, even inside arguments (a
    # directory called python3-work). Here PATH selects the interpreter instead.
    handler.replace_python_executable = lambda full_command, new_executable: full_command
    handler.run_local_subprocess = run_step
    for unused in ("You may be attemping to run a task", "Task '.*': settings"):  # image and resources, on this machine
        warnings.filterwarnings("ignore", message=unused)

    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(run_dir / ARTIFACTS_DIRECTORY))
    pipeline = components.load_component_from_file(str(run_dir / PIPELINE_FILE))
    return _only_output(pipeline(**ARGUMENTS.read(run_dir)["arguments"]))


@contextmanager
def _warm_process(scratch: Path) -> Iterator[None]:
    """Start a process that imports what steps need, and put a `python3` that asks it first on PATH."""
    directory = scratch / "bin"
    directory.mkdir(parents=True)
    client = shlex.join([sys.executable, "-IS", str(warm.__file__)])
    (directory / "python3").write_text(f'#!/bin/sh\nexec {client} "$@"\n')
    (directory / "python3").chmod(0o700)
    interpreters = [str(directory), str(Path(sys.executable).parent)]
    os.environ["PATH"] = os.pathsep.join([*interpreters, os.environ.get("PATH", os.defpath)])
    os.environ[warm.SOCKET] = str(scratch / "warm")
    command = [sys.executable, "-m", "pipelines.warm_server", os.environ[warm.SOCKET]]
    # As the steps run: without it kfp imports its client and that of Kubernetes, which takes 0.3 s.
    environment = {**os.environ, "_KFP_RUNTIME": "true"}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment) as process:  # noqa: S603  (our own module)
        try:
            yield
        finally:
            process.kill()


def _only_output(task: Any) -> str:
    outputs = list(task.outputs.values())
    return outputs[0] if len(outputs) == 1 and isinstance(outputs[0], str) else ""


def _end_with_parent() -> None:
    """Kill the whole process group when the parent ends, however it ends: that closes our standard input."""

    def wait() -> None:
        os.read(0, 1)  # sys.stdin would hold its lock until the interpreter shuts down
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    _end_with_parent()
    run(Path(sys.argv[1]))
