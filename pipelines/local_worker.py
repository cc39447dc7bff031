"""The child process of `frostline run`: runs RUN_DIR/pipeline.yaml through kfp.local and writes its outcome.

Started as `python -m pipelines.local_worker RUN_DIR`, in a session of its own. What it and the steps print is the
run's log; what happens is told through events: `launch` and `exit` of each step's process, besides the step's own.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frostline import events
from frostline.artifacts import read_json, write_json

_numbers = itertools.count(1)


def run_step(full_command: Sequence[str], env_vars: Mapping[str, str] | None = None) -> int:
    """Run one step's process, copy its output, each line after the step's name, and return its exit code.

    A failure makes kfp.local wait for 30 s and try again, as the pipeline says: on a cluster a lost node is worth
    that. Here the parent ends the run at the `exit` event of the first failure, which would only come again.
    """
    name = full_command[full_command.index("--function_to_execute") + 1]
    number, last = next(_numbers), deque[str](maxlen=2)  # two: a shell adds "Killed" after a step's own last line
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
    """Run the directory's `pipeline.yaml` on its `arguments.json`; write `outcome.json`."""
    from kfp import components, local
    from kfp.local import subprocess_task_handler as handler

    # kfp.local writes the interpreter's path over every "python3" in a command, those inside arguments (a directory
    # called python3-work) included, and unquoted. PATH names the interpreter instead.
    handler.replace_python_executable = lambda full_command, new_executable: full_command
    handler.run_local_subprocess = run_step
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    warnings.filterwarnings("ignore", message="You may be attemping to run a task")  # the image is not used here

    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(run_dir / "artifacts"))
    pipeline = components.load_component_from_file(str(run_dir / "pipeline.yaml"))
    task = pipeline(**read_json(run_dir / "arguments.json", "arguments")["arguments"])
    write_json(run_dir / "outcome.json", "outcome", {"outcome": _only_output(task)})


def _only_output(task: Any) -> str:
    outputs = list(task.outputs.values())
    return outputs[0] if len(outputs) == 1 and isinstance(outputs[0], str) else ""


def _end_with_parent() -> None:
    """End the whole group when the parent is gone, however it went: its end of our standard input closes then."""

    def wait() -> None:
        os.read(0, 1)  # not through sys.stdin, whose lock would still be held when the interpreter shuts down
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    _end_with_parent()
    run(Path(sys.argv[1]))
