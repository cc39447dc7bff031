"""bfloat16: whether it makes this machine faster, and layers that compute in it while they are traced."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
_GPU_CAPABILITY = (8, 0)  # Ampere, the first with bfloat16 in its tensor cores
_LEAST_SPEED_UP = 1.25  # less does not pay for a trial
_ROUNDS = 25  # of a millisecond or more each, so that other work of the machine does not decide


def hardware_has_bfloat16() -> bool:
    """Whether every device used for computing has instructions for bfloat16 that TensorFlow uses."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(detail.get("compute_capability", (0, 0)) >= _GPU_CAPABILITY for detail in details)
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux
        return False
    return bool(_CPU_FLAGS & flags) and onednn_takes_bfloat16()


def is_faster() -> bool:
    """Whether bfloat16 makes this machine, which has it, faster: a GPU always, a processor by measurement."""
    return bool(tf.config.list_physical_devices("GPU")) or speed_up() >= _LEAST_SPEED_UP


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


def speed_up() -> float:
    """How many times as fast a convolution is in bfloat16 as in float32; takes 0.2 s.

    A processor may have the instructions and no unit for them: with InceptionV3 on one with AVX512_BF16, features took
    1.6 times as long in bfloat16 as in float32; on another one, 0.6 times as long.
    """
    convolutions = [_convolution(dtype) for dtype in (tf.float32, tf.bfloat16)]
    rounds = [[_seconds(one) for one in convolutions] for _ in range(_ROUNDS + 1)][1:]  # the first one traces
    full, low = (min(times) for times in zip(*rounds, strict=True))
    return float(full / low)


def _convolution(dtype: tf.DType) -> Any:
    """Two layers as networks have them; in a graph, because eager operations do not use oneDNN."""
    image, kernel = tf.ones((8, 35, 35, 64), dtype), tf.ones((3, 3, 64, 64), dtype)

    def layer(image: Any) -> Any:
        return tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "SAME"))

    traced = tf.function(lambda image: layer(layer(image)), autograph=False)
    return lambda: traced(image).numpy()


def _seconds(function: Any) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


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
