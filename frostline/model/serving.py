"""A SavedModel as model servers run it: loaded into a session, from encoded images to probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.errors import DataError, StorageError
from frostline.text import one_line

_SIGNATURE = "serving_default"
# Errors that say nothing about the model: the same call may succeed later or on another machine.
TRANSIENT = (
    MemoryError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class Served:
    """A loaded model; as a context manager, it closes its session at the end."""

    def __init__(self, directory: Path) -> None:
        """Load the model.

        Args:
            directory: of the SavedModel.

        Raises:
            DataError: there is no SavedModel, or its signature is not that of `frostline.model.export`.
            StorageError: this machine cannot load it now, for want of memory for example; the model may be fine.
        """
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        try:
            with self._session.graph.as_default():
                loaded: Any = tf.compat.v1.saved_model.load(self._session, ["serve"], str(directory))
            signature = loaded.signature_def[_SIGNATURE]
            if "image_bytes" not in signature.inputs or "probabilities" not in signature.outputs:
                raise ValueError(f"{_SIGNATURE} must map image_bytes to probabilities")
            self._input, self._output = signature.inputs["image_bytes"].name, signature.outputs["probabilities"].name
        except TRANSIENT as error:
            self._session.close()
            raise StorageError(f"{directory}: cannot be loaded now: {one_line(error)}") from error
        except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
            self._session.close()
            raise DataError(f"{directory}: cannot be served: {one_line(error)}") from error

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def predict(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """Predict one batch.

        Args:
            images: encoded images, as a client sends them.

        Returns:
            Probabilities, [len(images), classes] float32.
        """
        found: NDArray[np.float32] = self._session.run(self._output, {self._input: list(images)})
        return found
