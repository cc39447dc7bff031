"""The proof that a stored version serves: the loader that servers use gives what was measured before it was stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from frostline import golden
from frostline.errors import DataError, StorageError
from frostline.serving import TRANSIENT, Served

TOLERANCE = 1e-5  # of a probability, absolutely: what another machine's arithmetic may make of the same weights


def prove(directory: Path) -> None:
    """Let a version predict the golden batch that it was published with.

    Args:
        directory: of the version, on this machine.

    Raises:
        DataError: it cannot be loaded or run, or its probabilities differ by more than TOLERANCE.
        StorageError: it could not be tried, which says nothing about it.
    """
    images, expected = golden.read(directory)
    try:
        with Served(directory) as served:
            received = served.predict(images)
    except TRANSIENT as error:
        raise StorageError(f"the golden batch cannot be predicted now: {' '.join(str(error).split())[:300]}") from error
    except tf.errors.OpError as error:
        raise DataError(
            f"the golden batch cannot be predicted: {' '.join(str(error.message).split())[:300]}"
        ) from error
    if received.shape != expected.shape:
        raise DataError(f"the golden batch: received {received.shape} probabilities; expected {expected.shape}")
    difference = float(np.abs(received - expected).max())
    if not difference <= TOLERANCE:  # nor NaN
        raise DataError(f"the golden batch: a probability differs by {difference:.3g}; expected at most {TOLERANCE:g}")
