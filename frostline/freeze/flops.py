"""Floating-point operations of a forward pass: two for each multiply-add of a convolution or dense layer.

All other layers (normalisation, activations, pooling) are left out: they take a few operations per output value, where
a convolution takes hundreds.
"""

from __future__ import annotations

import math
from typing import Any


def of_operation(operation: Any) -> int:
    """FLOPs of one layer, or plain operation, for one image.

    A layer that is itself a model (ConvNeXt's stem) counts all layers inside it.

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
        return int(2 * _places(operation) * (math.prod(depthwise) + math.prod(pointwise)))
    # A depthwise or grouped kernel covers only some of the input channels: its size is its cost per place.
    if isinstance(operation, keras.layers.DepthwiseConv2D | keras.layers.Conv2D | keras.layers.Dense):
        return int(2 * _places(operation) * math.prod(operation.kernel.shape))
    return 0


def _places(layer: Any) -> int:
    """How many times the kernel is applied: the product of the output's dimensions between batch and channels."""
    return int(math.prod(layer.output.shape[1:-1]))
