"""The values of variables as arrays, on every replica, and back: what a checkpoint and early stopping keep."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from frostline.errors import DataError
from frostline.freeze import certificate

Arrays = dict[str, NDArray[Any]]


def take(variables: Sequence[Any], prefix: str) -> Arrays:
    """A copy of each value, named `prefix/INDEX/REPLICA`; one copy where all replicas hold the same."""
    found: Arrays = {}
    for index, variable in enumerate(variables):
        values = [np.array(copy) for copy in copies(variable)]
        alike = all(value.tobytes() == values[0].tobytes() for value in values[1:])
        found |= {f"{prefix}/{index}/{replica}": value for replica, value in enumerate(values[:1] if alike else values)}
    return found


def put(variables: Sequence[Any], prefix: str, arrays: Arrays) -> None:
    """Assign what `take` gave to the same variables.

    Raises:
        DataError: a value is missing or has another shape.
    """
    for index, variable in enumerate(variables):
        first = arrays.get(f"{prefix}/{index}/0")
        for replica, copy in enumerate(copies(variable)):
            value = arrays.get(f"{prefix}/{index}/{replica}", first)
            if value is None or tuple(value.shape) != tuple(copy.shape):
                raise DataError(f"{prefix}/{index}: the checkpoint holds no value of the shape {tuple(copy.shape)}")
            copy.assign(value)


def copies(variable: Any) -> tuple[Any, ...]:
    """The TensorFlow variable of each replica; one where there is no strategy."""
    value = variable.value if isinstance(variable, keras.Variable) else variable
    return certificate.copies(value)


def movable(model: keras.Model, still: Collection[str]) -> list[Any]:
    """Every variable of a model but the weights of some layers.

    The states of random numbers are there for all layers: noise in a frozen block above the boundary is still drawn.
    """
    found: list[Any] = []
    for layer in model.layers:
        weights = {id(weight) for weight in layer.weights} if layer.name in still else set()
        found += [variable for variable in layer.variables if id(variable) not in weights]
    return found
