"""A SavedModel as servers load it: by the session loader, with encoded images in and probabilities out."""

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
TRANSIENT = (
    MemoryError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)  # what says nothing about a model: the same call may succeed elsewhere, or later


class Served:
    """One loaded model; a context manager, which closes its session."""

    def __init__(self, directory: Path) -> None:
        """Load the model's serving signature.

        Args:
            directory: of the SavedModel.

        Raises:
            DataError: there is none, or none with such a signature.
            StorageError: this machine has no memory or the like for it now, which says nothing about the model.
        """
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        try:
            with self._session.graph.as_default():
                loaded: Any = tf.compat.v1.saved_model.load(self._session, ["serve"], str(directory))
            signature = loaded.signature_def[_SIGNATURE]
            if "image_bytes" not in signature.inputs or "probabilities" not in signature.outputs:
                raise ValueError(f"{_SIGNATURE} does not take image_bytes and give probabilities")
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
        """Probabilities of one batch.

        Args:
            images: encoded, as a client sends them.

        Returns:
            [len(images), classes] float32.
        """
        return self._session.run(self._output, {self._input: list(images)})  # type: ignore[no-any-return]
