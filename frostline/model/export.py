"""The serving export: a SavedModel from encoded images to probabilities and labels.

Each weight is stored once. Keras' own exporters store every weight twice (keras-team/keras#23553).
"""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf

from frostline.data import images
from frostline.model import backbones


class Servable(tf.Module):
    """A model with decoding, resizing and normalisation in the graph.

    Only the function `serve` refers to the Keras model: an attribute would be tracked, and its weights stored again.
    """

    def __init__(self, model: keras.Model, labels: list[str], image_size: int, backbone: str) -> None:
        super().__init__()
        self.values = [variable.value for variable in model.variables]
        self.labels = tf.constant(labels)

        @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def serve(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            pixels = backbones.normalise(images.batch(image_bytes, image_size), backbone)
            probabilities = model(pixels, training=False)
            return {"probabilities": probabilities, "label": tf.gather(self.labels, tf.argmax(probabilities, axis=-1))}

        self.serve = serve


def save(model: keras.Model, labels: list[str], image_size: int, backbone: str, directory: Path) -> None:
    """Write the SavedModel.

    Its signature `serving_default` maps `image_bytes`, [batch] string, to `probabilities`, [batch, classes] float32,
    and `label`, [batch] string.

    Args:
        model: from [batch, image_size, image_size, 3] float32 to probabilities; built without a distribution strategy.
        labels: class names by index.
        image_size: height and width of the model's input, in pixels.
        backbone: name of the backbone, which determines how pixels are normalised.
        directory: of the SavedModel.
    """
    servable = Servable(model, labels, image_size, backbone)
    tf.saved_model.save(servable, str(directory), signatures={"serving_default": servable.serve})
