"""Whether the training and the serving input path lead to the same predictions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.data import batches, examples
from frostline.data.batches import Images
from frostline.documents.evaluation import Skew
from frostline.model import arithmetic, backbones

_BATCH = 32
_MOST = 512  # images: enough for a limit of 99.5 %


def compare_paths(
    model: Path, records: str, image_size: int, backbone: str, served: Mapping[str, NDArray[np.float32]], scratch: Path
) -> Skew:
    """Compare the Keras model's predictions from records with the export's predictions from original bytes.

    Args:
        model: model.keras.
        records: address of the records that preprocess wrote; the test split is read.
        image_size: of the records, in pixels.
        backbone: determines how pixels are normalised.
        served: the export's probabilities by the SHA-256 of the image, [classes] float32 each.
        scratch: directory for files from a bucket.

    Returns:
        {images, agreement: fraction of equal labels, max_difference: of a probability}, for at most 512 images, the
        first by digest.
    """
    source = Images(examples.load(records, "test", scratch), image_size)
    _, order = np.unique(np.array(source.examples.ids), return_index=True)  # counts copies once
    chosen = np.array([place for place in order if source.examples.ids[place] in served][:_MOST], np.int64)
    whole = keras.models.load_model(model, compile=False, safe_mode=True)
    predict = tf.function(
        lambda pixels: whole(backbones.normalise(pixels, backbone), training=False), input_signature=[source.spec]
    )
    parts = batches.cut(chosen, _BATCH)
    with arithmetic.tensor_float_32(on=False):
        trained = [predict(pixels).numpy() for pixels, _ in batches.stream(source, parts)]
    source.examples.close()
    if not trained:
        return {"images": 0, "agreement": 0.0, "max_difference": 0.0}
    ours = np.concatenate(trained)
    theirs = np.stack([served[source.examples.ids[place]] for place in chosen])
    return {
        "images": len(chosen),
        "agreement": float(np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1))),
        "max_difference": float(np.abs(ours - theirs).max()),
    }
