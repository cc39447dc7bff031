"""What computes, and how exactly: the kind of device, and TensorFloat-32, which GPUs since Ampere use by default.

TensorFloat-32 rounds the operands of matrix products and convolutions to 10 bits of mantissa, so a probability moves by
1e-3. It is off wherever this package computes, except in the steps of a training that asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from frostline.documents.training import Arithmetic


@contextmanager
def tensor_float_32(on: bool) -> Iterator[None]:
    """Operations that run in this context use TensorFloat-32, or do not; the process's own setting returns after it.

    The setting is read when a kernel starts, so fetch results inside the context.
    """
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(on)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def device_kind() -> str:
    """The kind of the devices that compute: `CPU`, or the names of the GPUs, such as `NVIDIA A100-SXM4-40GB`."""
    gpus = tf.config.list_physical_devices("GPU")
    names = {str(tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")) for gpu in gpus}
    return ", ".join(sorted(names)) or "CPU"


def describe(precision: str) -> Arithmetic:
    """What computes now, for a document; `precision` is float32 or bfloat16."""
    on = tf.config.experimental.tensor_float_32_execution_enabled()
    return {"device": device_kind(), "tensor_float_32": bool(on), "precision": precision}


def of_serving() -> Arithmetic:
    """What an export computes with here: float32, without TensorFloat-32."""
    with tensor_float_32(on=False):
        return describe("float32")
