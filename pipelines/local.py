"""Run the compiled pipeline on this machine: the same YAML that a cluster runs, through kfp.local in a child process.

A run is a directory: pipeline.yaml, arguments.json, events.jsonl, run.log, artifacts/, and at its end summary.json
with the pages beside it (plan.html, report.html, decision.md).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from frostline.artifacts import Json, read_json, write_json
from frostline.config import RunConfig
from frostline.errors import FrostlineError, StorageError
from frostline.events import EVENTS_FILE
from pipelines.follow import Follower, Steps

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 3.0  # between asking a run's processes to end and ending them; about what a pod is given
# What a person looks at: its name beside summary.json, and where below artifacts/ it comes from.
_PAGES = {
    "plan.html": "plan/page",
    "data.html": "validate/page",
    "evaluation.html": "evaluate/page",
    "decision.md": "gate/page",
    "report.html": "gate/report",
}


def run(config: RunConfig, root: Path, console: Console) -> Json:
    """Compile the pipeline into a new run directory below `root` and run it there.

    Args:
        config: a configuration that passed preflight.
        root: where run directories are made.
        console: where progress and lines for people go.

    Returns:
        The content of summary.json; its `outcome` begins with `pushed`, `candidate` or `held`.

    Raises:
        FrostlineError: a step failed, or the run ended without having pushed or held.
    """
    from pipelines.compile import compile_pipeline

    run_dir = new_run_directory(root, config.model_name)
    console.print(f"run {run_dir}", markup=False, highlight=False, soft_wrap=True)
    compile_pipeline(run_dir / "pipeline.yaml")
    started = time.monotonic()
    summary: Json = {"run": run_dir.name, "directory": str(run_dir), "status": "interrupted", "outcome": ""}
    steps = Steps()
    try:
        summary["outcome"] = run_yaml(run_dir, config.arguments(), console, steps)
        if not summary["outcome"].startswith(("pushed", "candidate", "held")):
            raise FrostlineError(
                f"the run ended without having pushed or held: its outcome is {summary['outcome']!r}"
                f" (log: {run_dir / 'run.log'})"
            )
        summary["status"] = "succeeded"
    except FrostlineError as error:
        summary |= {"status": "failed", "error": str(error)}
        raise
    finally:
        summary |= {"seconds": round(time.monotonic() - started, 1), "steps": steps.seconds()}
        summary["pages"] = _collect_pages(run_dir)
        write_json(run_dir / "summary.json", "run", summary)
    return summary


def new_run_directory(root: Path, model_name: str) -> Path:
    """Make `root/<model_name>-<UTC time>`, with a suffix where another run took the name in the same second.

    Raises:
        StorageError: the directory cannot be made.
    """
    name = f"{model_name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    number = 1
    while True:
        path = root.absolute() / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            if not path.is_dir():
                raise StorageError(f"{root}: run directories cannot be made here: {error.strerror}") from error
            number += 1
        except OSError as error:
            raise StorageError(f"{path}: cannot be made: {error.strerror}") from error
        else:
            return path


def run_yaml(run_dir: Path, arguments: Mapping[str, Any], console: Console, steps: Steps | None = None) -> str:
    """Run RUN_DIR/pipeline.yaml in a child process and follow it until it ends.

    The child has a session of its own. Whatever ends this call (a failed step, Ctrl-C, SIGTERM) ends all of the
    child's processes; should this process be killed outright, the child notices and ends them itself.

    Args:
        run_dir: holds `pipeline.yaml`; everything that the run writes goes below it.
        arguments: the pipeline's arguments.
        console: where progress and lines for people go.
        steps: filled with what the run's events said.

    Returns:
        The pipeline's output string; empty when it has no such output.

    Raises:
        FrostlineError: a step failed or died; the message names the step, the reason and the log.
    """
    write_json(run_dir / "arguments.json", "arguments", {"arguments": dict(arguments)})
    with Follower(run_dir / "events.jsonl", console) as follower, _worker(run_dir) as worker:
        follower.steps = steps if steps is not None else follower.steps
        while worker.poll() is None and not follower.steps.failures:
            time.sleep(_POLL_SECONDS)
            follower.poll()
        follower.poll()
        _raise_for_failure(run_dir, worker.returncode, follower.steps)
    return str(read_json(run_dir / "outcome.json", "outcome")["outcome"])


@contextmanager
def _worker(run_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    scratch = run_dir / "tmp"  # kfp makes a temporary directory a step and leaves it behind
    scratch.mkdir()
    environment = {
        **os.environ,
        EVENTS_FILE: str(run_dir / "events.jsonl"),
        "TMPDIR": str(scratch),
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",  # a file named like a library in the current directory is not imported
    }
    with (run_dir / "run.log").open("wb") as log, _sigterm_as_exit():
        worker = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "pipelines.local_worker", str(run_dir)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            yield worker
        finally:
            _end_group(worker)
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """SIGTERM unwinds the stack like Ctrl-C does, with the exit code that a shell gives it (128 + 15)."""

    def leave(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _end_group(worker: subprocess.Popen[bytes]) -> None:
    for number, grace in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
        try:
            os.killpg(worker.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS answers EPERM where only a zombie is left
            break
        deadline = time.monotonic() + grace
        while _group_lives(worker) and time.monotonic() < deadline:
            time.sleep(0.02)
    worker.wait()
    if worker.stdin:
        worker.stdin.close()


def _group_lives(worker: subprocess.Popen[bytes]) -> bool:
    worker.poll()
    try:
        os.killpg(worker.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _raise_for_failure(run_dir: Path, code: int | None, steps: Steps) -> None:
    log = f"(log: {run_dir / 'run.log'})"
    if steps.failures:
        failure = steps.failures[0]
        told = [error for error in steps.errors if error["step"] == failure["step"]]
        if told:
            error = FrostlineError(f"step {failure['step']} failed: {told[0]['message']} {log}")
            error.exit_code = told[0]["exit_code"]  # 2 where the step found the configuration wrong
            raise error
        raise FrostlineError(
            f"step {failure['step']} died without an error of its own, {_how(failure['code'])};"
            f" its last lines: {failure['last']!r} {log}"
        )
    if code:
        lines = (run_dir / "run.log").read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        raise FrostlineError(f"the runner ended before any step failed, {_how(code)}; its last line: {last!r} {log}")


def _how(code: int) -> str:
    number = -code if code < 0 else code - 128  # a shell gives 128 + the signal that ended its command
    if number <= 0:
        return f"exit code {code}"
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return f"killed by {name}" + (" (out of memory?)" if number == signal.SIGKILL else "")


def _collect_pages(run_dir: Path) -> dict[str, str]:
    pages: dict[str, str] = {}
    for name, page in _PAGES.items():
        for source in run_dir.glob(f"artifacts/*/{page}"):
            shutil.copyfile(source, run_dir / name)
            pages[name] = str(run_dir / name)
    return pages
