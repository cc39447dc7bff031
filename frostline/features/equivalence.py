"""Checks, in every run and on real images, that training on cached features is equivalent to training the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.data.batches import Images
from frostline.documents.training import Equivalence
from frostline.errors import FeaturesDisagree
from frostline.events import say
from frostline.features.sample import SIZE
from frostline.features.source import Features
from frostline.model import arithmetic, backbones
from frostline.text import listed

# For features in float32. Measured with InceptionV3 on 400 photos: other kernels on one CPU moved a probability by
# 1.3e-6, operands rounded to 10 bits, as devices with TensorFloat-32 do, by 2.3e-3.
MAX_DIFFERENCE = 1e-5  # of two probabilities; more is told
SAME_DEVICE = (1e-3, 1e-4)  # of two probabilities, and of the features in relative L2; more is an error
OTHER_DEVICE = (1e-2, 2e-3)  # the same, where another kind of device computed the features
MAX_OF_ONE = 5 * OTHER_DEVICE[1]  # of one image's features in relative L2; those of another image differ by about 1
# For rounded features. The number of equal predictions is no measure on a few images: one near tie changes it. Measured
# with pretrained InceptionV3 at six layers on 640 photos: features in bfloat16 differ by up to 0.031 on 16 images and
# 0.026 on 32, and those of one image by up to 0.045.
MAX_ROUNDED_DIFFERENCE = 0.1  # of two probabilities
MAX_ROUNDED_L2 = 0.05  # of the features
MAX_ROUNDED_OF_ONE = 0.1  # of one image's


@dataclass(frozen=True)
class Sample:
    """Images and what is cached of them.

    Attributes:
        layer: the layer whose output is cached.
        ids: SHA-256 of each image's original bytes.
        pixels: [n, size, size, 3] uint8.
        rows: [n, *shape of the output] float32, from the cache.
        devices: the kinds of the devices that computed the features.
    """

    layer: str
    ids: tuple[str, ...]
    pixels: NDArray[np.uint8]
    rows: NDArray[np.float32]
    devices: frozenset[str]


def take(features: Features, images: Images) -> Sample:
    """Take images with one of their cached variants each, so many that each view has its turn.

    Args:
        features: cached features, of one view or several.
        images: some of the same images; the first 16 by digest are taken, with all of their views if they are fewer.
    """
    positions, views = np.argsort(np.array(images.examples.ids))[:SIZE], sorted(features.readers)
    pairs = [
        (position, views[(place + turn) % len(views)])
        for turn in range(len(views))
        for place, position in enumerate(positions.tolist())
    ][:SIZE]
    ids, pixels, rows = list[str](), [], []
    for view, reader in sorted(features.readers.items()):
        part = np.array([position for position, of in pairs if of == view], np.int64)
        if len(part):
            found = [images.examples.ids[position] for position in part]
            ids += found
            pixels.append(images.read(part, view).numpy())
            rows.append(reader.read(found).astype(np.float32))
    devices = frozenset(features.devices)
    return Sample(features.layer, tuple(ids), np.concatenate(pixels), np.concatenate(rows), devices)


def require_equivalent(model: keras.Model, backbone: str, samples: Sequence[Sample], exact: bool) -> Equivalence:
    """Compare the whole model on images with the part above the boundary on their cached features.

    Args:
        model: the current model, from pixels to probabilities, in float32.
        backbone: name of the backbone, which determines how pixels are normalised.
        samples: images with their cached features, all at the same layer.
        exact: whether features were computed and stored in float32.

    Returns:
        Number of images, largest difference of a probability and its limit, relative L2 difference of the features, and
        the fraction of equal predictions.

    Raises:
        FeaturesDisagree: the features of one image differ by more than any arithmetic explains; or, if `exact`, a
            probability or the features differ by more than the device explains that computed them (less is logged);
            otherwise a probability differs by more than MAX_ROUNDED_DIFFERENCE, or the features by more than
            MAX_ROUNDED_L2.
    """
    layer, ids = samples[0].layer, [identifier for sample in samples for identifier in sample.ids]
    boundary = {operation.name: operation.output for operation in model.operations}[layer]
    lower_and_whole, upper = keras.Model(model.input, [boundary, model.output]), keras.Model(boundary, model.output)

    def run(pixels: Any, cached: Any) -> tuple[Any, ...]:
        computed, whole = lower_and_whole(backbones.normalise(pixels, backbone), training=False)
        return computed, whole, upper(cached, training=False)

    first = samples[0]
    specs = [tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in (first.pixels, first.rows)]
    traced = tf.function(run, autograph=False, input_signature=specs)
    stored = np.concatenate([sample.rows for sample in samples])
    with arithmetic.tensor_float_32(on=False):  # whatever the training used
        results = [traced(sample.pixels, sample.rows) for sample in samples]  # one by one, to take less memory
        computed, whole, recomposed = (np.concatenate(part) for part in zip(*results, strict=True))
        computing = arithmetic.describe(model.compute_dtype)
    difference = float(np.abs(whole - recomposed).max())
    relative = _relative_l2(computed, stored)
    agreement = float(np.mean(whole.argmax(axis=1) == recomposed.argmax(axis=1)))
    limit = MAX_DIFFERENCE if exact else MAX_ROUNDED_DIFFERENCE
    by_image = _by_image(computed, stored)
    right = float(by_image.max()) <= (MAX_OF_ONE if exact else MAX_ROUNDED_OF_ONE)
    devices = frozenset[str]().union(*(sample.devices for sample in samples))
    most, most_l2 = OTHER_DEVICE if devices - {computing["device"]} else SAME_DEVICE
    if right and exact and limit < difference <= most and relative <= most_l2:
        say(
            f"probabilities from the features cached at {layer} differ from the model by up to "
            f"{difference:.2g} (expected at most {limit:g}); the features were computed on "
            f"{listed(sorted(devices))}, the model here on {computing['device']}"
        )
    elif not (right and difference <= limit and (exact or relative <= MAX_ROUNDED_L2)):
        remedy = "; remove the features in the store and run the pipeline again" if exact else ""
        raise FeaturesDisagree(
            f"the features cached at {layer} are not equivalent to the model: on {len(ids)} images they differ by "
            f"{relative:.2g} (relative L2), probabilities by up to {difference:.2g}, and {100 * agreement:.1f} % of "
            f"the predictions agree; most of all differs the image {ids[int(by_image.argmax())]}{remedy}"
        )
    return {
        "layer": layer,
        "images": len(ids),
        "max_difference": difference,
        "relative_l2": relative,
        "agreement": agreement,
        "exact": exact,
        "limit": limit,
        "arithmetic": computing,
    }


def _relative_l2(exact: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """L2 norm of the difference over that of `exact`, over all values; the norm of the difference if `exact` is 0."""
    return float(np.linalg.norm(other - exact)) / (float(np.linalg.norm(exact)) or 1.0)


def _by_image(computed: NDArray[np.float32], stored: NDArray[np.float32]) -> NDArray[np.float32]:
    """L2 norm of each image's difference over that of its features, or over the mean norm where that is larger, [n]."""
    norms, differences = (np.linalg.norm(part.reshape(len(part), -1), axis=1) for part in (computed, stored - computed))
    found: NDArray[np.float32] = differences / np.maximum(np.maximum(norms, norms.mean()), np.finfo(np.float32).tiny)
    return found
