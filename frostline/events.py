"""Events of a running step: start, progress, end and error, one JSON object per line.

KFP pipes the output of a step, so a step sees no terminal and draws nothing. It appends events to the file named by
FROSTLINE_EVENTS, from which the parent process draws progress bars, and prints plain lines for the pod's log.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ParamSpec, TypeVar

from frostline.errors import FrostlineError, StorageError
from frostline.text import one_line, os_reason

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

EVENTS_FILE = "FROSTLINE_EVENTS"
IN_A_POD = "KFP_POD_NAME"  # which Kubeflow sets in the containers of steps
_INTERVAL = 0.2  # seconds between two progress events: smooth to see, cheap to write
_FULL_OR_FORBIDDEN = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_LONGEST = 2000  # characters of an error's message: TensorFlow's can fill pages
_current_step = "frostline"


def emit(kind: str, **fields: Any) -> None:
    """Append one event of the current step to the events file, if there is one."""
    path = os.environ.get(EVENTS_FILE)
    if not path:
        return
    times = {"time": time.time(), "clock": time.monotonic()}
    line = json.dumps({**times, "pid": os.getpid(), "step": _current_step, "kind": kind, **fields})
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())  # one write in append mode, so lines of parallel steps do not mix
    finally:
        os.close(descriptor)


def say(message: str, step: str = "") -> None:
    """Print a line in the step's log, with the time in UTC in a pod; `frostline run` shows it under the step.

    Args:
        message: one line.
        step: the name of the step; empty for the one that runs in this process.
    """
    message = message if message.isprintable() else one_line(message, len(message))
    now = time.strftime("%H:%M:%S ", time.gmtime()) if IN_A_POD in os.environ else ""
    print(f"{now}{message}", file=sys.stderr, flush=True)
    emit("say", message=message, **({"step": step} if step else {}))


class Progress:
    """Reports how many of `total` are done: at the start, at most five times per second, and at the end."""

    def __init__(self, total: int, unit: str) -> None:
        """`unit` names what is counted, in the plural, such as `images`."""
        self._total, self._unit = total, unit
        self._done = 0
        self._reported_at = 0.0

    def __enter__(self) -> Progress:
        self._report()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._report()

    def advance(self, count: int) -> None:
        """Add `count` to what is done."""
        self._done += count
        if time.monotonic() - self._reported_at >= _INTERVAL:
            self._report()

    def _report(self) -> None:
        self._reported_at = time.monotonic()
        emit("progress", done=self._done, total=self._total, unit=self._unit)


def progress(items: Iterable[T], *, total: int, unit: str) -> Iterator[T]:
    """Yield `items`, of which there are `total`, and report progress."""
    with Progress(total, unit) as reported:
        for item in items:
            yield item
            reported.advance(1)


def step(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate the function of a pipeline step: its start, duration and error become events.

    A full disk or missing permission, from whichever library, is raised as a StorageError of one line.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            global _current_step
            previous, _current_step = _current_step, name
            started = time.monotonic()
            emit("start")
            try:
                result = function(*args, **kwargs)
            except Exception as caught:
                error = _as_storage_error(caught) or caught
                emit("error", message=_message(error), exit_code=getattr(error, "exit_code", 1))
                if error is caught:
                    raise
                raise error from caught
            else:
                emit("end", seconds=round(time.monotonic() - started, 3))
                return result
            finally:
                _current_step = previous

        return wrapped

    return decorate


def _as_storage_error(error: Exception) -> StorageError | None:
    """A StorageError for a full disk or missing permission; None for every other error.

    HDF5 puts the errno only into its message, and TensorFlow raises a ResourceExhaustedError.
    """
    if isinstance(error, FrostlineError):
        return None
    text = _message(error)
    if isinstance(error, OSError) and error.errno in _FULL_OR_FORBIDDEN:
        return StorageError(f"{error.filename or 'a file of this step'}: {os_reason(error)}")
    if "No space left on device" in text or "errno = 28" in text:
        return StorageError(f"no space left on device: {text[:200]}")
    return None


def _message(error: Exception) -> str:
    text = one_line(error, _LONGEST)
    return text if isinstance(error, FrostlineError) else f"{type(error).__name__}: {text}"
