"""Whether training on cached features is training the whole model: compared on real images, in every run."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from frostline.artifacts import Json
from frostline.data import batches
from frostline.data.batches import Images
from frostline.errors import FeaturesDisagree
from frostline.features.precision import MAX_RELATIVE_L2, relative_l2
from frostline.features.source import Features
from frostline.model import backbones

_SAMPLE = 16  # images
MAX_DIFFERENCE = 1e-5  # of two probabilities, where all is float32: one product summed in another order gives 1e-7
# Where features are rounded. Equal predictions are no measure on a few images: one near tie is enough to swap two.
MAX_ROUNDED_DIFFERENCE = 0.1  # of two probabilities
MAX_ROUNDED_L2 = 2 * MAX_RELATIVE_L2  # of the features: these images are others than those that precision was tried on


def require_equivalent(
    model: keras.Model, backbone: str, features: Features, images: Images, view: int, exact: bool
) -> Json:
    """Compare the whole model on images with what lies above the boundary on their cached features.

    Args:
        model: the model as it is now, to probabilities, computing in float32.
        backbone: says how pixels are normalised.
        features: the cache.
        images: the same examples.
        view: which variant of both.
        exact: whether features were computed and stored in float32.

    Returns:
        {layer, images, max_difference (of a probability), relative_l2 (of the features), agreement (share of equal
        predictions), exact, limit (of max_difference)}.

    Raises:
        FeaturesDisagree: a probability differs by more than MAX_DIFFERENCE; without `exact`, by more than
            MAX_ROUNDED_DIFFERENCE, or the features do by more than MAX_ROUNDED_L2.
    """
    boundary = {operation.name: operation.output for operation in model.operations}[features.layer]
    lower_and_whole, upper = keras.Model(model.input, [boundary, model.output]), keras.Model(boundary, model.output)
    part = np.argsort(np.array(features.examples.ids))[:_SAMPLE]
    ((pixels, _),) = batches.stream(images, [part], view)
    ((cached, _),) = batches.stream(features, [part], view)

    def run(pixels: Any, cached: Any) -> tuple[Any, ...]:
        computed, whole = lower_and_whole(backbones.normalise(pixels, backbone), training=False)
        stored = tf.cast(cached, tf.float32)
        return computed, stored, whole, upper(stored, training=False)

    computed, stored, whole, recomposed = (part.numpy() for part in tf.function(run)(pixels, cached))
    difference = float(np.abs(whole - recomposed).max())
    relative = relative_l2(computed, stored)
    agreement = float(np.mean(whole.argmax(axis=1) == recomposed.argmax(axis=1)))
    limit = MAX_DIFFERENCE if exact else MAX_ROUNDED_DIFFERENCE
    if not (difference <= limit and (exact or relative <= MAX_ROUNDED_L2)):
        raise FeaturesDisagree(
            f"the features cached at {features.layer} do not stand for the model: on {len(part)} images they differ by "
            f"{relative:.2g} (relative L2), probabilities by up to {difference:.2g}, and {100 * agreement:.1f} % of "
            "the predictions agree"
        )
    return {
        "layer": features.layer,
        "images": len(part),
        "max_difference": difference,
        "relative_l2": relative,
        "agreement": agreement,
        "exact": exact,
        "limit": limit,
    }
