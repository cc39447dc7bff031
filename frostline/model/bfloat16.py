"""bfloat16: whether it makes this machine faster, and layers that compute in it while they are traced."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import tensorflow as tf

_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
_GPU_CAPABILITY = (8, 0)  # Ampere, the first with bfloat16 in its tensor cores


def hardware_has_bfloat16() -> bool:
    """Whether every device used for computing is faster in bfloat16."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(detail.get("compute_capability", (0, 0)) >= _GPU_CAPABILITY for detail in details)
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux
        return False
    return bool(_CPU_FLAGS & flags) and onednn_takes_bfloat16()


def onednn_takes_bfloat16() -> bool:
    """Whether oneDNN is on and its kernels support bfloat16, which ONEDNN_MAX_CPU_ISA can disable."""
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":  # then Eigen is used, which is slower in bfloat16
        return False
    image, kernel = tf.ones((1, 4, 4, 8), tf.bfloat16), tf.ones((3, 3, 8, 8), tf.bfloat16)
    try:
        # In a graph, because eager operations do not use oneDNN.
        tf.function(lambda image, kernel: tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "SAME")))(image, kernel)
    except tf.errors.OpError:
        return False
    return True


@contextmanager
def low_precision(layers: Iterable[keras.layers.Layer]) -> Iterator[None]:
    """Functions traced in this context compute the layers and those inside them in bfloat16; weights stay float32."""
    changed = [part for layer in layers for part in layer._flatten_layers() if part.dtype_policy.name == "float32"]
    try:
        for layer in changed:
            layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
        yield
    finally:
        for layer in changed:
            layer.dtype_policy = keras.DTypePolicy("float32")
