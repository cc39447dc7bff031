"""Run the compiled pipeline on this machine: the YAML that a cluster runs, through kfp.local in a child process.

Each run has a directory with pipeline.yaml, arguments.json, events.jsonl, run.log and artifacts/. When the run ends,
summary.json and the pages (plan.html, report.html, decision.md and more) are added.
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

from frostline.artifacts import write_file
from frostline.config import RunConfig
from frostline.errors import FrostlineError, StorageError
from frostline.events import EVENTS_FILE
from pipelines.compile import SHIPPED
from pipelines.documents import (
    ARGUMENTS,
    ARTIFACTS_DIRECTORY,
    EVENT_LOG,
    LOG_FILE,
    OUTCOME,
    PIPELINE_FILE,
    SUMMARY,
    Summary,
)
from pipelines.follow import Follower, Steps

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 3.0  # between SIGTERM and SIGKILL for the processes of a run
# Pages for people: the name beside summary.json, and the path below artifacts/*/.
_PAGES = {
    "plan.html": "plan/freeze_plan_page",
    "data.html": "validate/data_page",
    "evaluation.html": "evaluate/evaluation_page",
    "decision.md": "gate/decision_page",
    "report.html": "gate/report",
}


def run(config: RunConfig, root: Path, console: Console, pipeline: Path = SHIPPED) -> Summary:
    """Run the pipeline in a new run directory below `root`.

    Args:
        config: a configuration that passed preflight.
        root: where run directories are made.
        console: where progress and messages go.
        pipeline: the compiled pipeline, which is copied into the run directory.

    Returns:
        The content of summary.json; its `outcome` begins with `pushed`, `candidate` or `held`.

    Raises:
        FrostlineError: a step failed, or the run ended without pushing or holding the model.
    """
    run_dir = new_run_directory(root, config.model_name)
    console.print(f"run {run_dir}", markup=False, highlight=False, soft_wrap=True)
    write_file(run_dir / PIPELINE_FILE, pipeline.read_bytes())
    started = time.monotonic()
    steps = Steps()
    summary: Summary = {
        "run": run_dir.name, "directory": str(run_dir), "status": "interrupted", "outcome": "", "seconds": 0.0,
        "steps": {}, "pages": {},
    }  # fmt: skip
    try:
        summary["outcome"] = run_yaml(run_dir, config.arguments(), console, steps)
        if not summary["outcome"].startswith(("pushed", "candidate", "held")):
            raise FrostlineError(
                f"the run ended without pushing or holding the model: its outcome is {summary['outcome']!r}"
                f" (log: {run_dir / LOG_FILE})"
            )
        summary["status"] = "succeeded"
    except FrostlineError as error:
        summary["status"], summary["error"] = "failed", str(error)
        raise
    finally:
        summary["seconds"], summary["steps"] = round(time.monotonic() - started, 1), steps.seconds()
        summary["pages"] = collect_pages(run_dir)
        SUMMARY.write(run_dir, summary)
    return summary


def new_run_directory(root: Path, model_name: str) -> Path:
    """Make `root/<model_name>-<UTC time>`, with a suffix if another run took the name in the same second.

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

    The child has its own session. Whatever ends this call (a failed step, Ctrl-C, SIGTERM) also ends all of the child's
    processes. If this process is killed with SIGKILL, the child notices and ends them itself.

    Args:
        run_dir: holds `pipeline.yaml`; the run writes only below it.
        arguments: the pipeline's arguments.
        console: where progress and messages go.
        steps: filled with what the run's events report.

    Returns:
        The pipeline's output string; empty if it has none.

    Raises:
        FrostlineError: a step failed or died; the message names the step, the reason and the log.
    """
    ARGUMENTS.write(run_dir, {"arguments": dict(arguments)})
    with Follower(run_dir / EVENT_LOG, console) as follower, _worker(run_dir) as worker:
        follower.steps = steps if steps is not None else follower.steps
        while worker.poll() is None and not follower.steps.failures:
            time.sleep(_POLL_SECONDS)
            follower.poll()
        follower.poll()
        _raise_for_failure(run_dir, worker.returncode, follower.steps)
    return OUTCOME.read(run_dir)["outcome"]


@contextmanager
def _worker(run_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    scratch = run_dir / "tmp"  # kfp makes a temporary directory per step and never removes it
    scratch.mkdir()
    environment = {
        **os.environ,
        EVENTS_FILE: str(run_dir / EVENT_LOG),
        "TMPDIR": str(scratch),
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",  # a file in the current directory that is named like a library is not imported
    }
    with (run_dir / LOG_FILE).open("wb") as log, _sigterm_as_exit():
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
    """Let SIGTERM unwind the stack as Ctrl-C does; the exit code is the shell's, 128 + 15."""

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
        except (ProcessLookupError, PermissionError):  # macOS returns EPERM if only a zombie is left
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
    log = f"(log: {run_dir / LOG_FILE})"
    if steps.failures:
        failure = steps.failures[0]
        errors = [error for error in steps.errors if error["step"] == failure["step"]]
        if errors:
            error = FrostlineError(f"step {failure['step']} failed: {errors[0]['message']} {log}")
            error.exit_code = errors[0]["exit_code"]  # 2 if the step found the configuration wrong
            raise error
        raise FrostlineError(
            f"step {failure['step']} died without an error of its own, {_how(failure['code'])};"
            f" its last lines: {failure['last']!r} {log}"
        )
    if code:
        lines = (run_dir / LOG_FILE).read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        raise FrostlineError(f"the runner failed although no step had, {_how(code)}; its last line: {last!r} {log}")


def _how(code: int) -> str:
    number = -code if code < 0 else code - 128  # a shell returns 128 + the number of the signal that ended its command
    if number <= 0:
        return f"exit code {code}"
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return f"killed by {name}" + (" (out of memory?)" if number == signal.SIGKILL else "")


def collect_pages(run_dir: Path) -> dict[str, str]:
    """Copy the pages that the steps wrote beside summary.json; returns the path of each by its name."""
    pages: dict[str, str] = {}
    for name, page in _PAGES.items():
        for source in run_dir.glob(f"{ARTIFACTS_DIRECTORY}/*/{page}"):
            shutil.copyfile(source, run_dir / name)
            pages[name] = str(run_dir / name)
    return pages
