"""Whether training on cached features is training the whole model: compared on real images, in every run."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from frostline import backbones, input_pipeline
from frostline.artifacts import Json
from frostline.errors import FeaturesDisagree
from frostline.input_pipeline import Features, Images
from frostline.precision import MIN_AGREEMENT

_SAMPLE = 16  # images
MAX_DIFFERENCE = 1e-5  # of two probabilities, where all is float32: one product summed in another order gives 1e-7


def prove(model: keras.Model, backbone: str, features: Features, images: Images, view: int, exact: bool) -> Json:
    """Compare the whole model on images with what lies above the boundary on their cached features.

    Args:
        model: the model as it is now, to probabilities, computing in float32.
        backbone: says how pixels are normalised.
        features: the cache.
        images: the same examples.
        view: which variant of both.
        exact: whether features were computed and stored in float32.

    Returns:
        {layer, images, max_difference (of a probability), agreement (share of equal predictions), exact, limit}.

    Raises:
        FeaturesDisagree: the difference is above MAX_DIFFERENCE, or without `exact` the agreement below MIN_AGREEMENT.
    """
    outputs = {operation.name: operation.output for operation in model.operations}
    upper = keras.Model(outputs[features.layer], model.output)
    part = np.argsort(np.array(features.examples.ids))[:_SAMPLE]
    ((pixels, _),) = input_pipeline.batches(images, [part], view)
    ((cached, _),) = input_pipeline.batches(features, [part], view)

    def both(pixels: Any, cached: Any) -> tuple[Any, Any]:
        whole = model(backbones.normalise(pixels, backbone), training=False)
        return whole, upper(tf.cast(cached, tf.float32), training=False)

    whole, recomposed = (part.numpy() for part in tf.function(both)(pixels, cached))
    difference = float(np.abs(whole - recomposed).max())
    agreement = float(np.mean(whole.argmax(axis=1) == recomposed.argmax(axis=1)))
    proof = {
        "layer": features.layer,
        "images": len(part),
        "max_difference": difference,
        "agreement": agreement,
        "exact": exact,
        "limit": MAX_DIFFERENCE if exact else MIN_AGREEMENT,
    }
    if not (difference <= MAX_DIFFERENCE if exact else agreement >= MIN_AGREEMENT):
        raise FeaturesDisagree(
            f"the features cached at {features.layer} do not stand for the model: on {len(part)} images probabilities "
            f"differ by up to {difference:.2g}, and {100 * agreement:.1f} % of the predictions agree"
        )
    return proof
