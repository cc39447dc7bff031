"""The worst mistakes, to look at: what the model was surest of and wrong about."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.artifacts import Json
from frostline.data import images, records

_MOST = 24
_SIDE = 96  # pixels of a thumbnail
_QUALITY = 80


def worst(rows: Sequence[Json], probabilities: NDArray[np.float32], labels: Sequence[str]) -> list[Json]:
    """The wrong predictions, the one with the least probability for the truth first.

    Args:
        rows: manifest rows.
        probabilities: [rows, labels] float32.
        labels: class names by index.

    Returns:
        At most 24 of {id, label, predicted, probability, true_probability, thumbnail (a data URI: JPEG, 96 x 96
        pixels)}.
    """
    truth, predicted = np.array([row["label"] for row in rows]), probabilities.argmax(axis=1)
    given = probabilities[np.arange(len(rows)), truth]
    wrong = [place for place in np.argsort(given, kind="stable") if predicted[place] != truth[place]]
    return [
        {
            "id": rows[place]["id"],
            "label": labels[truth[place]],
            "predicted": labels[predicted[place]],
            "probability": float(probabilities[place].max()),
            "true_probability": float(given[place]),
            "thumbnail": _thumbnail(records.original(rows[place])),
        }
        for place in wrong[:_MOST]
    ]


def _thumbnail(data: bytes) -> str:
    small = images.from_bytes(tf.constant(data), _SIDE)
    encoded: bytes = tf.io.encode_jpeg(small, quality=_QUALITY).numpy()
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
