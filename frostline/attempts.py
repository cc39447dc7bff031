"""A stage in a process of its own, which is started again if a signal killed it.

A crash in native code, or an out-of-memory kill that left the container alive, does not end the pod: the next attempt
finds in the store what the killed one finished, and train its checkpoint. Where Kubernetes ends the whole container
for lack of memory (cgroup v2), nothing in the container can go on.

`python -m frostline.attempts STAGE RESULT` is the process: arguments as JSON on its standard input, the returned value
as JSON in the file RESULT.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from types import FrameType
from typing import Any

from frostline import quiet, warm
from frostline.errors import ConfigError, FrostlineError, shown
from frostline.events import emit, say
from frostline.text import one_line, size_words

RESTARTS = 3
CGROUPS = Path("/sys/fs/cgroup")
_WIDTH = 100  # characters of a line that Kubeflow's log page shows without scrolling
_LONGEST = 2000  # characters of an error
_WITHOUT_TENSORFLOW = ("ingest", "validate", "gate", "release")  # at least at first
_PR_SET_PDEATHSIG = 1  # prctl(2)


def run(stage: str, **arguments: Any) -> Any:
    """Run `frostline.STAGE.run(**arguments)` in a process of its own, again after a kill, at most `RESTARTS` times.

    SIGTERM is passed on, and no attempt follows it: the pod is being removed.

    Args:
        stage: the name of the module in `frostline`.
        arguments: JSON.

    Returns:
        What the stage returned, as JSON keeps it.

    Raises:
        SystemExit: the stage failed and said why, or was killed too often; with the exit code of its process.
    """
    with tempfile.TemporaryDirectory() as scratch:
        result, child = Path(scratch) / "result.json", _Child()
        command = [sys.executable, "-m", "frostline.attempts", stage, str(result)]
        for left in reversed(range(RESTARTS + 1)):
            kills = _out_of_memory_kills()
            code = child.run(command, json.dumps(arguments).encode())
            if code == 0:
                return json.loads(result.read_text())
            if code > 0 or child.stopping:
                raise SystemExit(code if code > 0 else 128 - code)
            death = f"killed by {signal.Signals(-code).name} ({_memory(child.peak, _out_of_memory_kills() > kills)})"
            if left:
                say(f"{stage} was {death}; starting it again, at most {left} more times", step=stage)
        message = f"{stage} was {death}; {RESTARTS + 1} attempts have ended in this way"
        emit("error", step=stage, message=message, exit_code=128 - code)
        _tell(message)
        raise SystemExit(128 - code)


class _Child:
    """Runs one process after the other, and passes SIGTERM on to the one that runs.

    Attributes:
        stopping: whether SIGTERM was received.
        peak: the largest resident set of a finished process, in KiB.
    """

    def __init__(self) -> None:
        self.stopping, self.peak = False, 0
        self._pid: int | None = None

    def run(self, command: list[str], data: bytes) -> int:
        """Run a command with `data` as its standard input; its exit code, or -N if signal N killed it."""
        before = signal.signal(signal.SIGTERM, self._stop)
        try:
            with tempfile.TemporaryFile() as stdin:
                stdin.write(data)
                stdin.seek(0)
                ended = warm.run(command[1:], stdin.fileno(), self._began)
                if ended is not None:
                    code, self.peak = ended
                    return code
                with subprocess.Popen(command, stdin=stdin) as process:  # noqa: S603  (our own module)
                    self._began(process.pid)
            self.peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            return process.returncode
        finally:
            self._pid = None
            signal.signal(signal.SIGTERM, before)

    def _began(self, pid: int) -> None:
        self._pid = pid
        if self.stopping:  # the signal came before there was a process to pass it on to
            os.kill(pid, signal.SIGTERM)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.stopping = True
        if self._pid:
            os.kill(self._pid, number)


def _memory(kib: int, ran_out: bool) -> str:
    """The largest resident set of a process, and what the container may use."""
    peak, limit = size_words(kib * 1024), _memory_limit()
    allowed = f" of {size_words(limit)}, the memory limit" if limit else "; the container has no memory limit"
    return f"{'out of memory' if ran_out else 'memory'}: it used up to {peak}{allowed}"


def _memory_limit() -> int | None:
    """Of the container, in bytes; None without one. From cgroup v2's memory.max or v1's memory.limit_in_bytes."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(name).strip()
        if text.isdigit() and int(text) < 1 << 60:  # v1 shows no limit as a number near 2^63
            return int(text)
    return None


def _out_of_memory_kills() -> int:
    """How many processes of the container were killed for lack of memory so far: the kernel's own counter."""
    lines = [*_read("memory.events").splitlines(), *_read("memory/memory.oom_control").splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _read(name: str) -> str:
    try:
        return (CGROUPS / name).read_text()
    except OSError:
        return ""


def _tell(message: str) -> None:
    """Print an error so that a narrow log page shows all of it."""
    print("\n".join(textwrap.wrap(message, _WIDTH, break_on_hyphens=False)), file=sys.stderr, flush=True)


def _advice_first(error: FrostlineError) -> str:
    if isinstance(error, ConfigError):
        return one_line(f"{error.field}: {error.expected} (received {shown(error.received)})", _LONGEST)
    return one_line(error, _LONGEST)


def main(stage: str, result: str) -> None:
    """Be the process of a stage; it dies with its parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    arguments = json.load(sys.stdin)
    if stage not in _WITHOUT_TENSORFLOW:
        quiet.import_tensorflow()
    try:
        returned = importlib.import_module(f"frostline.{stage}").run(**arguments)
    except FrostlineError as error:
        _tell(f"{stage} failed: {_advice_first(error)}")
        sys.exit(error.exit_code)
    Path(result).write_text(json.dumps(returned))


if __name__ == "__main__":
    main(*sys.argv[1:])
