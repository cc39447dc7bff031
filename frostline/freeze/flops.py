"""Floating-point operations of a forward pass: two per multiply-add of a convolution or dense layer.

Normalisation, activations and pooling take a few operations per output value, a convolution takes hundreds, so only
convolutions and dense layers are counted.
"""

from __future__ import annotations

import math
from typing import Any


def of_operation(operation: Any) -> int:
    """FLOPs of one layer or plain operation for one image.

    A nested model (ConvNeXt's stem) is the sum of its layers.

    Args:
        operation: a built Keras layer whose input and output shapes are known.
    """
    import keras

    if isinstance(operation, keras.Model):
        return sum(of_operation(layer) for layer in operation.layers)
    if isinstance(operation, keras.layers.Conv2DTranspose):
        return int(2 * math.prod(operation.input.shape[1:-1]) * math.prod(operation.kernel.shape))
    if isinstance(operation, keras.layers.SeparableConv2D):
        depthwise, pointwise = operation.depthwise_kernel.shape, operation.pointwise_kernel.shape
        return int(2 * _positions(operation) * (math.prod(depthwise) + math.prod(pointwise)))
    # A filter of a depthwise or grouped kernel covers only its own input channels, so the kernel's size is its cost.
    if isinstance(operation, keras.layers.DepthwiseConv2D | keras.layers.Conv2D | keras.layers.Dense):
        return int(2 * _positions(operation) * math.prod(operation.kernel.shape))
    return 0


def _positions(layer: Any) -> int:
    """Number of positions where the kernel is applied: the product of the output's spatial dimensions."""
    return int(math.prod(layer.output.shape[1:-1]))
