"""Import TensorFlow without what its C++ libraries write to standard error while they load."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def import_tensorflow() -> None:
    """Import TensorFlow with nothing on the terminal, unless the import fails: then all it wrote is shown.

    TF_CPP_MIN_LOG_LEVEL silences what comes later, but what is logged before TensorFlow sets its logging up (oneDNN,
    the search for CUDA) is written whatever the level is, and past Python's own `sys.stderr`.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _shown_only_on_failure():
        import tensorflow  # noqa: F401


@contextmanager
def _shown_only_on_failure() -> Iterator[None]:
    """Keep back what anybody writes to file descriptor 2; write it out when the body raises."""
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
