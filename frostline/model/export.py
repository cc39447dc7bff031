"""The serving export: a SavedModel that takes encoded image bytes and answers with probabilities.

Each weight is stored once. Keras' own exporters store every weight twice (keras-team/keras#23553).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from frostline.data import images
from frostline.model import backbones


class Servable(tf.Module):
    """A model with its decoding, resizing and normalisation inside the graph.

    The Keras model stays in the closure: as an attribute it would be tracked, and its weights stored again.
    """

    def __init__(self, model: keras.Model, labels: list[str], image_size: int, backbone: str) -> None:
        super().__init__()
        self.values = [variable.value for variable in model.variables]
        self.labels = tf.constant(labels)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def serve(image_bytes: Any) -> dict[str, Any]:
            pixels = tf.map_fn(
                lambda data: images.from_bytes(data, image_size),
                image_bytes,
                fn_output_signature=tf.TensorSpec([image_size, image_size, 3], tf.uint8),
            )
            probabilities = model(backbones.normalise(pixels, backbone), training=False)
            return {"probabilities": probabilities, "label": tf.gather(self.labels, tf.argmax(probabilities, axis=-1))}

        self.serve = serve


def save(model: keras.Model, labels: list[str], image_size: int, backbone: str, directory: Path) -> None:
    """Write the SavedModel; `serving_default` maps `image_bytes` [batch] string to `probabilities` and `label`.

    Args:
        model: [batch, image_size, image_size, 3] float32 to probabilities; not under a distribution strategy.
        labels: class names by index.
        image_size: height and width of the model's input, in pixels.
        backbone: name of the backbone, which says how pixels are normalised.
        directory: where the SavedModel goes.
    """
    servable = Servable(model, labels, image_size, backbone)
    tf.saved_model.save(servable, str(directory), signatures={"serving_default": servable.serve})
