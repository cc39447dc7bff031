"""The optimizer of one phase: Adam, AdamW or SGD, with a schedule and a learning rate per layer.

Its whole state is in `optimizer.variables`, which a checkpoint keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from frostline.errors import ConfigError
from frostline.training.config import TrainingConfig


def make(
    config: TrainingConfig, learning_rate: float, steps: int, model: keras.Model, scales: Mapping[str, float]
) -> keras.optimizers.Optimizer:
    """An optimizer with slots for the model's trainable variables only.

    Must be called in the strategy's scope. If all scales are 1, its steps equal those of Keras' own Adam, AdamW
    (kernels decay, vectors do not) and SGD with Nesterov momentum, bit for bit.

    Args:
        config: optimizer, schedule and weight decay.
        learning_rate: of a layer whose scale is 1; with a schedule, the peak.
        steps: optimizer steps of the phase.
        model: the model to train; `trainable` of its layers must be set.
        scales: multiple of the learning rate by layer name; layers that are not listed use 1.

    Raises:
        ConfigError: the warm-up is not shorter than the phase.
    """
    rate = _rate(config, learning_rate, steps)
    sgd = config.optimizer == "sgd"
    made: Any = SgdByLayer(rate, momentum=config.momentum, nesterov=True) if sgd else AdamByLayer(rate)
    made.prepare(model, scales, config.weight_decay)  # above 0 for adamw only
    return made


def clipped(gradients: Sequence[Any], clip_norm: float) -> list[Any]:
    """Gradients clipped so that the gradient of the global batch, over all weights, has at most the given norm.

    Must be called by every replica in its replica context. The limit is on the sum over replicas; the optimizer sums
    again, so each replica returns an equal part of the clipped sum.

    Args:
        gradients: per trained weight, this replica's part of the sum.
        clip_norm: largest L2 norm; 0 returns the gradients unchanged, without communication.
    """
    if not clip_norm:
        return list(gradients)
    context = tf.distribute.get_replica_context()
    summed = context.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
    limited, _ = tf.clip_by_global_norm(summed, clip_norm)
    return [gradient / context.num_replicas_in_sync for gradient in limited]


def _rate(config: TrainingConfig, learning_rate: float, steps: int) -> Any:
    if config.schedule == "constant":
        return learning_rate
    if config.warmup_steps >= steps:
        raise ConfigError(
            "training.warmup_steps", config.warmup_steps, f"the phase has {steps} steps; warm-up must be shorter"
        )
    if not config.warmup_steps:
        return keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    falling = steps - config.warmup_steps  # Keras counts them without the warm-up
    first = learning_rate / (config.warmup_steps + 1)  # from 0, the first step would change nothing
    return keras.optimizers.schedules.CosineDecay(
        first, falling, warmup_target=learning_rate, warmup_steps=config.warmup_steps
    )


class _ByLayer:
    """Multiplies the learning rate of each variable by its layer's scale, and decays kernels at that rate.

    Scaling gradients instead would have no effect in Adam, which divides by their size. The decay (Loshchilov & Hutter
    2019, "Decoupled weight decay regularization", algorithm 2) is done here because Keras' own takes one learning rate
    for all variables.
    """

    def prepare(self: Any, model: keras.Model, scales: Mapping[str, float], weight_decay: float) -> None:
        """Make the slots for the model's trainable variables; `weight_decay` applies to those of rank 2 or more."""
        scale_of = {
            id(variable): scales.get(layer.name, 1.0)
            for layer in model.layers
            for variable in layer.trainable_variables
        }
        variables = model.trainable_variables
        self._scales = [scale_of[id(variable)] for variable in variables]
        self._decays = [weight_decay if len(variable.shape) > 1 else 0.0 for variable in variables]
        self.build(variables)

    def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Decay, then the optimizer's own step; once per replica, with the gradient of the global batch."""
        index = self._get_variable_index(variable)
        rate = learning_rate * self._scales[index]
        if self._decays[index]:
            self.assign_sub(variable, variable * self._decays[index] * rate)
        super().update_step(gradient, variable, rate)  # type: ignore[misc]


class AdamByLayer(_ByLayer, keras.optimizers.Adam):
    """Adam; AdamW if it has a weight decay."""


class SgdByLayer(_ByLayer, keras.optimizers.SGD):
    """Stochastic gradient descent."""
