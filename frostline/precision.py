"""Low precision: whether this machine computes in bfloat16, where to do so, and whether the results agree."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.artifacts import Json

MAX_RELATIVE_L2 = 1e-2
MIN_AGREEMENT = 0.99  # share of images with the same prediction
_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
_GPU_CAPABILITY = (8, 0)  # Ampere, the first with bfloat16 in its tensor cores


def hardware_has_bfloat16() -> bool:
    """Whether every device that computes here does so faster in bfloat16."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(detail.get("compute_capability", (0, 0)) >= _GPU_CAPABILITY for detail in details)
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # no Linux
        return False
    return bool(_CPU_FLAGS & flags) and onednn_takes_bfloat16()


def onednn_takes_bfloat16() -> bool:
    """Whether oneDNN is on and its kernels take bfloat16: ONEDNN_MAX_CPU_ISA may hide what the processor has."""
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":  # then Eigen computes, and slower in bfloat16
        return False
    image, kernel = tf.ones((1, 4, 4, 8), tf.bfloat16), tf.ones((3, 3, 8, 8), tf.bfloat16)
    try:
        # A graph, since eager operations do not go through oneDNN.
        tf.function(lambda image, kernel: tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "SAME")))(image, kernel)
    except tf.errors.OpError:
        return False
    return True


@contextmanager
def low_precision(layers: Iterable[keras.layers.Layer]) -> Iterator[None]:
    """Layers, and those inside them, compute in bfloat16 while a function is traced inside; weights stay float32."""
    changed = [part for layer in layers for part in layer._flatten_layers() if part.dtype_policy.name == "float32"]
    try:
        for layer in changed:
            layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
        yield
    finally:
        for layer in changed:
            layer.dtype_policy = keras.DTypePolicy("float32")


def compare(full: NDArray[np.float32], low: NDArray[np.float32], labels: NDArray[np.int64]) -> Json:
    """How far features in low precision are from those in float32, and whether a classifier would notice.

    The classifier predicts the class whose mean feature (of `full`, pooled over positions) is nearest.

    Args:
        full: [images, ..., channels], computed in float32.
        low: the same in low precision.
        labels: [images] class indexes.

    Returns:
        {images, relative_l2, agreement, agrees}: the L2 norm of the difference over that of `full`; the share of
        images with the same prediction; whether both are within their limits.
    """
    relative = relative_l2(full, low)
    pooled = [features.reshape(len(features), -1, features.shape[-1]).mean(axis=1) for features in (full, low)]
    means = np.stack([pooled[0][labels == label].mean(axis=0) for label in np.unique(labels)])
    nearest = [np.linalg.norm(part[:, None] - means[None], axis=-1).argmin(axis=1) for part in pooled]
    agreement = float(np.mean(nearest[0] == nearest[1]))
    return {
        "images": len(full),
        "relative_l2": relative,
        "agreement": agreement,
        "agrees": bool(relative <= MAX_RELATIVE_L2 and agreement >= MIN_AGREEMENT),
    }


def relative_l2(exact: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The L2 norm of the difference over that of `exact`, all values together; the norm itself where `exact` is 0."""
    return float(np.linalg.norm(other - exact)) / (float(np.linalg.norm(exact)) or 1.0)
