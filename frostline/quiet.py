"""Import TensorFlow so that neither its C++ libraries nor its deprecations write lines of their own."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def import_tensorflow() -> None:
    """Import TensorFlow silently; if the import fails, show everything that it wrote.

    TF_CPP_MIN_LOG_LEVEL is not enough: what the libraries log before TensorFlow sets up its logging (oneDNN, the search
    for CUDA) ignores the level, and bypasses Python's `sys.stderr`.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _shown_only_on_failure(), _without("sklearn"):
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    gc.freeze()  # collections need not look at what stays: models are built in a tenth less time
    atexit.register(gc.freeze)  # or the end of the process takes a second, to find cycles among TensorFlow's objects


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Let imports of a package fail that has not been imported; what imports it later gets it.

    Keras imports scikit-learn if it is there, for wrappers that nothing here uses: 0.4 of 2.1 s, most of it for
    scipy.stats.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


@contextmanager
def _shown_only_on_failure() -> Iterator[None]:
    """Hold back everything written to file descriptor 2; write it out if the body raises."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            kept.seek(0)
            os.write(terminal, kept.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
