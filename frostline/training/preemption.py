"""SIGTERM as a wish that the training loop grants after its step, with a checkpoint, instead of a sudden end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether SIGTERM has come since; inside, the signal does nothing else.

    Kubernetes sends it before it takes a node away, 30 seconds before the end where nothing else is configured. Outside
    the main thread no signal can be caught, and the function always says no.
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
