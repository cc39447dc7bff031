"""Checks, in every run and on real images, that training on cached features is equivalent to training the model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from frostline.data import batches
from frostline.data.batches import Images
from frostline.documents.training import Equivalence
from frostline.errors import FeaturesDisagree
from frostline.events import say
from frostline.features.precision import MAX_RELATIVE_L2, relative_l2
from frostline.features.source import Features
from frostline.model import arithmetic, backbones
from frostline.text import listed

_SAMPLE = 16  # images
# For features in float32. Measured with InceptionV3 on 400 photos: other kernels on one CPU moved a probability by
# 1.3e-6, operands rounded to 10 bits, as devices with TensorFloat-32 do, by 2.3e-3.
MAX_DIFFERENCE = 1e-5  # of two probabilities; more is told
SAME_DEVICE = (1e-3, 1e-4)  # of two probabilities, and of the features in relative L2; more is an error
OTHER_DEVICE = (1e-2, 2e-3)  # the same, where another kind of device computed the features
# For rounded features. The number of equal predictions is no measure on a few images: one near tie changes it.
MAX_ROUNDED_DIFFERENCE = 0.1  # of two probabilities
MAX_ROUNDED_L2 = 2 * MAX_RELATIVE_L2  # of the features; these images differ from the sample for the precision


def require_equivalent(
    model: keras.Model, backbone: str, features: Features, images: Images, view: int, exact: bool
) -> Equivalence:
    """Compare the whole model on images with the part above the boundary on their cached features.

    Args:
        model: the current model, from pixels to probabilities, in float32.
        backbone: name of the backbone, which determines how pixels are normalised.
        features: cached features.
        images: the same examples.
        view: variant of both.
        exact: whether features were computed and stored in float32.

    Returns:
        Number of images, largest difference of a probability and its limit, relative L2 difference of the features, and
        the fraction of equal predictions.

    Raises:
        FeaturesDisagree: if `exact`, a probability or the features differ by more than the device explains that
            computed them (less is logged); otherwise a probability differs by more than MAX_ROUNDED_DIFFERENCE, or the
            features by more than MAX_ROUNDED_L2.
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

    with arithmetic.tensor_float_32(on=False):  # whatever the training used
        computed, stored, whole, recomposed = (part.numpy() for part in tf.function(run)(pixels, cached))
        computing = arithmetic.describe(model.compute_dtype)
    difference = float(np.abs(whole - recomposed).max())
    relative = relative_l2(computed, stored)
    agreement = float(np.mean(whole.argmax(axis=1) == recomposed.argmax(axis=1)))
    limit = MAX_DIFFERENCE if exact else MAX_ROUNDED_DIFFERENCE
    others = features.devices - {computing["device"]}
    most, most_l2 = OTHER_DEVICE if others else SAME_DEVICE
    if exact and limit < difference <= most and relative <= most_l2:
        say(
            f"probabilities from the features cached at {features.layer} differ from the model by up to "
            f"{difference:.2g} (expected at most {limit:g}); the features were computed on "
            f"{listed(sorted(features.devices))}, the model here on {computing['device']}"
        )
    elif not (difference <= limit and (exact or relative <= MAX_ROUNDED_L2)):
        raise FeaturesDisagree(
            f"the features cached at {features.layer} are not equivalent to the model: on {len(part)} images they "
            f"differ by {relative:.2g} (relative L2), probabilities by up to {difference:.2g}, and "
            f"{100 * agreement:.1f} % of the predictions agree"
        )
    return {
        "layer": features.layer,
        "images": len(part),
        "max_difference": difference,
        "relative_l2": relative,
        "agreement": agreement,
        "exact": exact,
        "limit": limit,
        "arithmetic": computing,
    }
