"""Values of variables as arrays, on every replica, and back: for checkpoints and early stopping."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.errors import DataError
from frostline.freeze import certificate

Arrays = dict[str, NDArray[Any]]
_INTEGERS = {2: tf.uint16, 4: tf.uint32, 8: tf.uint64}  # by bytes; unsigned, as GPUs leave int32 to the host


def take(variables: Sequence[Any], prefix: str) -> Arrays:
    """A copy of each value, named `prefix/INDEX/REPLICA`; one copy if all replicas have the same value.

    Replicas are compared on their devices, and only what differs from the first replica is fetched from another one.
    """
    replicas = [copies(variable) for variable in variables]
    alike = [[_alike(values[0], other) for other in values[1:]] for values in replicas]  # GPUs may still be comparing
    found: Arrays = {}
    for index, (values, same) in enumerate(zip(replicas, alike, strict=True)):
        kept = values[:1] if all(map(bool, same)) else values
        found |= {f"{prefix}/{index}/{replica}": np.array(value) for replica, value in enumerate(kept)}
    return found


def _alike(one: Any, other: Any) -> Any:
    """Whether two copies have the same bits: a bool scalar, on the device of `other`."""
    with tf.device(other.device):
        return tf.reduce_all(tf.equal(_bits(one), _bits(other)))


def _bits(value: Any) -> Any:
    value = tf.convert_to_tensor(value)
    return tf.bitcast(value, _INTEGERS[value.dtype.size]) if value.dtype.is_floating else value


def not_finite(arrays: Arrays) -> list[str]:
    """Names of the arrays with an infinity or NaN."""
    numbers = {name: array for name, array in arrays.items() if array.dtype.kind not in "biu"}
    return [name for name, array in numbers.items() if not np.isfinite(array).all()]


def put(variables: Sequence[Any], prefix: str, arrays: Arrays) -> None:
    """Assign the arrays that `take` returned for the same variables.

    Raises:
        DataError: an array is missing or has another shape.
    """
    for index, variable in enumerate(variables):
        first = arrays.get(f"{prefix}/{index}/0")
        for replica, copy in enumerate(copies(variable)):
            value = arrays.get(f"{prefix}/{index}/{replica}", first)
            if value is None or tuple(value.shape) != tuple(copy.shape):
                raise DataError(f"{prefix}/{index}: the checkpoint has no value of shape {tuple(copy.shape)}")
            copy.assign(value)


def copies(variable: Any) -> tuple[Any, ...]:
    """The TensorFlow variable of each replica; a single one without a strategy."""
    value = variable.value if isinstance(variable, keras.Variable) else variable
    return certificate.copies(value)


def movable(model: keras.Model, still: Collection[str]) -> list[Any]:
    """Every variable of a model except the weights of the layers in `still`.

    States of random generators are included for all layers: a frozen block above the boundary still draws noise.
    """
    found: list[Any] = []
    for layer in model.layers:
        weights = {id(weight) for weight in layer.weights} if layer.name in still else set()
        found += [variable for variable in layer.variables if id(variable) not in weights]
    return found
