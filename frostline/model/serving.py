"""A SavedModel as servers load it, with the session loader: encoded images in, probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.errors import DataError, StorageError
from frostline.model import arithmetic, operations
from frostline.text import one_line

_SIGNATURE = "serving_default"
TRANSIENT = (
    MemoryError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)  # errors of the machine, not the model: the same call can succeed later or elsewhere


class Served:
    """A loaded model; as a context manager it closes its session."""

    def __init__(self, directory: Path) -> None:
        """Load the model's serving signature, if its graph has no other operations than exports need.

        Args:
            directory: of the SavedModel.

        Raises:
            DataError: there is no SavedModel, it may not be loaded (`operations.read`), or it lacks the signature.
            StorageError: this machine cannot load it now, for example for lack of memory.
        """
        operations.read(directory)
        # Of the graph only what a call needs is placed and optimized: as fast a model, loaded and first called in 1.1 s
        # less (InceptionV3).
        pruned = tf.compat.v1.ConfigProto(graph_options=tf.compat.v1.GraphOptions(place_pruned_graph=True))
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=pruned)
        try:
            with self._session.graph.as_default():
                loaded = tf.compat.v1.saved_model.load(self._session, ["serve"], str(directory))
            signature = loaded.signature_def[_SIGNATURE]
            if "image_bytes" not in signature.inputs or "probabilities" not in signature.outputs:
                raise ValueError(f"{_SIGNATURE} has no input image_bytes or no output probabilities")
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
            images: encoded images, as a client sends them.

        Returns:
            [len(images), classes] float32.
        """
        with arithmetic.tensor_float_32(on=False):
            probabilities: NDArray[np.float32] = self._session.run(self._output, {self._input: list(images)})
        return probabilities
