"""Adam with a learning rate for each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras


class LayerwiseAdam(keras.optimizers.Adam):
    """Adam whose step on a variable is multiplied by its layer's scale.

    Scaling gradients would not do: Adam divides by their size.
    """

    def __init__(self, learning_rate: float, model: keras.Model, scales: Mapping[str, float]) -> None:
        """Make the optimizer and its slots for the model's trainable variables, and for no others.

        Args:
            learning_rate: the step size of a layer whose scale is 1.
            model: what is trained; its layers' `trainable` must be set.
            scales: multiple of the learning rate by layer name; 1 for a layer that is not in it.
        """
        super().__init__(learning_rate)
        scale_of = {
            id(variable): scales.get(layer.name, 1.0)
            for layer in model.layers
            for variable in layer.trainable_variables
        }
        variables = model.trainable_variables
        self._scales = [scale_of[id(variable)] for variable in variables]
        self.build(variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Adam's step with the variable's own learning rate."""
        scale = self._scales[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * scale)
