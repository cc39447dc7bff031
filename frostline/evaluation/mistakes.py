"""The worst mistakes: wrong predictions in which the true class got the lowest probability."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.data import images, records
from frostline.documents.data import ManifestRow
from frostline.documents.evaluation import Mistake

_MOST = 24
_SIDE = 96  # pixels of a thumbnail
_QUALITY = 80


def worst(rows: Sequence[ManifestRow], probabilities: NDArray[np.float32], labels: Sequence[str]) -> list[Mistake]:
    """The wrong predictions, in ascending order of the true class's probability.

    Args:
        rows: manifest rows.
        probabilities: [rows, labels] float32.
        labels: class names by index.

    Returns:
        At most 24 of {id, label, predicted, probability, true_probability, thumbnail (a data URI: JPEG, 96 x 96
        pixels)}.
    """
    truth, predicted = np.array([row["label"] for row in rows]), probabilities.argmax(axis=1)
    of_truth = probabilities[np.arange(len(rows)), truth]
    wrong = [place for place in np.argsort(of_truth, kind="stable") if predicted[place] != truth[place]]
    return [
        {
            "id": rows[place]["id"],
            "label": labels[truth[place]],
            "predicted": labels[predicted[place]],
            "probability": float(probabilities[place].max()),
            "true_probability": float(of_truth[place]),
            "thumbnail": _thumbnail(records.original(rows[place])),
        }
        for place in wrong[:_MOST]
    ]


def _thumbnail(data: bytes) -> str:
    small = images.from_bytes(tf.constant(data), _SIDE)
    encoded: bytes = tf.io.encode_jpeg(small, quality=_QUALITY).numpy()
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
