"""What a step tells while it runs: start, progress, end and error, one JSON object a line.

A step run by KFP has its output piped and sees no terminal, so it draws nothing itself. It appends events to the
file named by FROSTLINE_EVENTS (the parent process draws bars from them) and prints plain lines for the pod's log.
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
from frostline.text import one_line

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

EVENTS_FILE = "FROSTLINE_EVENTS"
_INTERVAL = 0.2  # seconds between two progress events: smooth to the eye, cheap to write
_FULL_OR_FORBIDDEN = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_LONGEST = 2000  # characters of an error's message: TensorFlow's can fill pages
_current_step = "frostline"


def emit(kind: str, **fields: Any) -> None:
    """Append one event of the current step to the events file, if there is one."""
    path = os.environ.get(EVENTS_FILE)
    if not path:
        return
    line = json.dumps({"time": time.time(), "pid": os.getpid(), "step": _current_step, "kind": kind, **fields})
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())  # one write in append mode: lines of parallel steps do not mix
    finally:
        os.close(descriptor)


def say(message: str) -> None:
    """A line for people: printed in the step's log and shown under the step by `frostline run`."""
    print(message, file=sys.stderr, flush=True)
    emit("say", message=message)


class Progress:
    """Tells how many of `total` are done: at once, at most five times a second, and at the end. A context manager."""

    def __init__(self, total: int, unit: str) -> None:
        """Take what is counted; `unit` is a plural, such as `images`."""
        self._total, self._unit = total, unit
        self._done = 0
        self._told = 0.0

    def __enter__(self) -> Progress:
        self._tell()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._tell()

    def advance(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        if time.monotonic() - self._told >= _INTERVAL:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        emit("progress", done=self._done, total=self._total, unit=self._unit)


def progress(items: Iterable[T], *, total: int, unit: str) -> Iterator[T]:
    """Yield `items`, of which there are `total`, telling how many are done as `Progress` does."""
    with Progress(total, unit) as told:
        for item in items:
            yield item
            told.advance(1)


def step(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function as the whole of one pipeline step: its start, duration and error become events.

    A full or forbidden disk, whichever library met it, is raised as a StorageError of one line.
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
    """A StorageError for a full or forbidden disk; None for everything else.

    HDF5 puts the errno into its message only, and TensorFlow raises ResourceExhaustedError naming the file.
    """
    if isinstance(error, FrostlineError):
        return None
    text = _message(error)
    if isinstance(error, OSError) and error.errno in _FULL_OR_FORBIDDEN:
        return StorageError(f"{error.filename or 'a file of this step'}: {error.strerror}")
    if "No space left on device" in text or "errno = 28" in text:
        return StorageError(f"no space left on device: {text[:200]}")
    return None


def _message(error: Exception) -> str:
    text = one_line(error, _LONGEST)
    return text if isinstance(error, FrostlineError) else f"{type(error).__name__}: {text}"
