"""The head: pooling, hidden dense layers, dropout, logits, and probabilities in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frostline.freeze.plan import POOL
from frostline.model.config import HeadConfig

if TYPE_CHECKING:
    import keras

PREFIX = "head_"  # of all layer names of the head
LOGITS = "head_logits"


def attach(backbone: keras.Model, head: HeadConfig, classes: int) -> keras.Model:
    """Attach a head to a backbone; the new model has the backbone's layers themselves, not nested.

    Args:
        backbone: [batch, size, size, 3] to [batch, height, width, channels] or [batch, channels].
        head: hidden layers and dropout.
        classes: number of classes.

    Returns:
        A functional model from images to probabilities, [batch, classes] float32.
    """
    import keras

    # Flatten leaves pooled features unchanged; it has the same name because that is the boundary of a frozen backbone.
    pooling = keras.layers.GlobalAveragePooling2D if len(backbone.output.shape) == 4 else keras.layers.Flatten
    x = pooling(name=POOL)(backbone.output)
    for index, units in enumerate(head.hidden, start=1):
        x = keras.layers.Dense(units, activation="relu", name=f"head_hidden{index}")(x)
    if head.dropout:
        x = keras.layers.Dropout(head.dropout, name="head_dropout")(x)
    x = keras.layers.Dense(classes, name=LOGITS)(x)
    probabilities = keras.layers.Activation("softmax", dtype="float32", name="head_probabilities")(x)
    return keras.Model(backbone.input, probabilities, name=f"{backbone.name}_finetuned")
