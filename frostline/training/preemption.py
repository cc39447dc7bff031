"""SIGTERM as a request: the training loop finishes its step, writes a checkpoint and stops."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """A context that gives a function: whether SIGTERM was received. Inside, the signal has no other effect.

    Kubernetes sends it before it removes a pod, by default 30 seconds before it kills the process. Outside the main
    thread no signal can be caught, and the function always returns False.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return
    before = signal.signal(signal.SIGTERM, lambda *_: came.set())
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
