"""The steps of one phase: run under a distribution strategy, with gradients only above the freeze boundary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.data import batches
from frostline.data.batches import BatchSource
from frostline.documents.freeze import LayerRow
from frostline.documents.training import ValidationScores
from frostline.errors import ConfigError
from frostline.freeze.phases import Phase
from frostline.model import arithmetic, backbones, head
from frostline.model.bfloat16 import low_precision
from frostline.training import dropout, optimizer
from frostline.training.config import TrainingConfig
from frostline.training.objective import Objective
from frostline.training.strategy import deal


@dataclass(frozen=True)
class StepSettings:
    """What is the same in all phases.

    Attributes:
        backbone: name of the backbone, which determines how pixels are normalised.
        training: optimizer, schedule, loss.
        batch_size: images per step, over all replicas.
        seed: of the order of examples and of the masks of Dropout.
    """

    backbone: str
    training: TrainingConfig
    batch_size: int
    seed: int


def apply_phase(model: keras.Model, layers: Iterable[LayerRow], phase: Phase) -> None:
    """Set `trainable` of every backbone layer as planned; this also freezes the statistics of BatchNorm.

    Passing `training=False` to a backbone inside a functional model is not enough: Keras 3 up to 3.15 ignores it.
    An optimizer or a traced step that exists already does not notice the change, so make the `Trainer` afterwards.
    """
    for layer in layers:
        if layer["parameters"]:  # a plain operation has no weights, and no such attribute
            model.get_layer(layer["name"]).trainable = layer["name"] not in phase.frozen


class Trainer:
    """One model in one phase under one strategy; everything that must happen in the strategy's scope is here."""

    def __init__(
        self,
        model: keras.Model,
        phase: Phase,
        source: BatchSource,
        settings: StepSettings,
        strategy: tf.distribute.Strategy,
        classes: Sequence[int],
    ) -> None:
        """Split the model at the entry of its inputs and at the phase's boundary; make an optimizer for what trains.

        Must be called in the strategy's scope, after `apply_phase`.

        Args:
            model: the whole model, to probabilities.
            phase: what is frozen.
            source: of the inputs; its layer is at or below the phase's boundary.
            settings: of the run.
            strategy: one or more replicas.
            classes: number of training images per class.

        Raises:
            ConfigError: the training split is too small for the number of replicas, or for the schedule.
        """
        self.steps = batches.steps(len(source.examples), settings.batch_size)
        if len(source.examples) // self.steps < strategy.num_replicas_in_sync:
            raise ConfigError(
                "batch_size",
                settings.batch_size,
                f"each of the {self.steps} steps needs an image per replica",
            )
        outputs = {operation.name: operation.output for operation in model.operations}
        entry = outputs[source.layer] if source.layer else model.input
        cut = outputs[phase.boundary] if phase.boundary else model.input
        self._settings, self._strategy, self._raw = settings, strategy, not source.layer
        self._below = None if cut is entry else keras.Model(entry, cut)  # frozen, but computed in every step
        self._suffix, self.counting = dropout.by_step(keras.Model(cut, outputs[head.LOGITS]))
        self._objective = Objective(settings.training, classes)
        self._trainable = model.trainable_variables
        steps = self.steps * phase.epochs
        self.optimizer = optimizer.make(settings.training, phase.learning_rate, steps, model, phase.scales)
        scalar = tf.TensorSpec([], tf.int64)
        vector = tf.TensorSpec([None], tf.int64)
        alone = strategy.num_replicas_in_sync == 1
        # With several replicas a step is traced for each of the two batch sizes. With relaxed shapes, a shape can be
        # static on one replica only, and then synchronized BatchNorm cannot be traced.
        signature = [source.spec, vector, vector, scalar, scalar] if alone else None
        self._step = tf.function(self._global_step, autograph=False, input_signature=signature)
        self._predict = tf.function(self._global_measure, autograph=False, input_signature=signature and signature[:2])

    def deal(self, inputs: Any, labels: Any) -> tuple[Any, ...]:
        """One global batch as `step` takes it, each replica's part on its device. Safe to call from any thread.

        Args:
            inputs: a batch of the source.
            labels: [batch] int64.
        """
        size = int(labels.shape[0])
        with tf.device("CPU:0"):
            places, count = tf.range(size, dtype=tf.int64), tf.constant(size, tf.int64)
        return (*deal(self._strategy, (inputs, labels, places)), count)

    def step(self, dealt: tuple[Any, ...], number: int) -> tuple[Any, Any]:
        """One optimizer step on one global batch.

        Args:
            dealt: the batch, from `deal`.
            number: of the step in the whole run.

        Returns:
            The summed loss (nats, float32) and the number of correct predictions (int64).
        """
        return self._step(*dealt, tf.constant(number, tf.int64))  # type: ignore[no-any-return]

    def validate(self, source: BatchSource) -> ValidationScores:
        """Loss and accuracy on all examples of a source of the training source's layer; empty without examples.

        All replicas take equal parts, which copies of a batch's last example fill up. The measures of each image are
        summed on the host in the order of the images, whatever the number of replicas.
        """
        examples, replicas = len(source.examples), self._strategy.num_replicas_in_sync
        if not examples:
            return {}
        parts = batches.cut(np.arange(examples), self._settings.batch_size)
        filled = [np.pad(part, (0, -len(part) % replicas), mode="edge") for part in parts]
        dealt = batches.stream(source, filled, prepare=lambda *batch: deal(self._strategy, batch))
        found = [self._predict(*batch) for batch in dealt]
        losses, right = (
            np.concatenate([self._joined(one[measure])[: len(part)] for one, part in zip(found, parts, strict=True)])
            for measure in (0, 1)
        )
        return {
            "validation_loss": float(losses.mean(dtype=np.float64)),
            "validation_accuracy": float(right.mean(dtype=np.float64)),
        }

    @property
    def optimized(self) -> list[Any]:
        """Variables that the optimizer has slots for."""
        return list(self.optimizer._trainable_variables)

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step, for a layer whose scale is 1."""
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))

    @contextmanager
    def configured(self) -> Iterator[None]:
        """A context to trace and run steps in, with the configured precision; logits and weights are always float32.

        Trained BatchNorm uses the statistics of all replicas if that is configured.
        """
        training = self._settings.training
        layers = [layer for layer in self._suffix.layers if layer.name != head.LOGITS]
        low = layers if training.precision == "bfloat16" else []
        synchronized = trained_batch_norms(layers) if training.synchronized_batch_norm else []
        tf32 = arithmetic.tensor_float_32(training.tensor_float_32)
        with low_precision(low), _synchronized(synchronized), tf32:
            yield

    def _global_step(self, inputs: Any, labels: Any, places: Any, size: Any, number: Any) -> tuple[Any, Any]:
        losses, right = self._strategy.run(self._replica_step, args=(inputs, labels, places, size, number))
        total = tf.distribute.ReduceOp.SUM
        return self._strategy.reduce(total, losses, axis=None), self._strategy.reduce(total, right, axis=None)

    def _replica_step(self, inputs: Any, labels: Any, places: Any, size: Any, number: Any) -> tuple[Any, Any]:
        features = self._features(inputs)
        with dropout.masks(self._settings.seed, number, places, size), tf.GradientTape() as tape:
            logits = self._suffix(features, training=True)
            loss = tf.reduce_sum(self._objective.losses(labels, logits))
            scaled = loss / tf.cast(size, tf.float32)  # summed over replicas: the mean over the global batch
            scaled += self._penalty() / self._strategy.num_replicas_in_sync
        gradients = tape.gradient(scaled, [variable.value for variable in self._trainable])
        gradients = optimizer.clipped(gradients, self._settings.training.clip_norm)
        self.optimizer.apply(gradients, self._trainable)
        return loss, self._objective.number_correct(labels, logits)

    def _penalty(self) -> Any:
        """The regularizers of the weights that train, as Keras adds them to the loss: float32 scalar."""
        found = [one.regularizer(one) for one in self._trainable if one.regularizer is not None]
        return tf.add_n([tf.cast(one, tf.float32) for one in found]) if found else 0.0

    def _global_measure(self, inputs: Any, labels: Any) -> tuple[Any, Any]:
        return self._strategy.run(self._measure, args=(inputs, labels))  # type: ignore[no-any-return]

    def _measure(self, inputs: Any, labels: Any) -> tuple[Any, Any]:
        logits = self._suffix(self._features(inputs), training=False)
        return self._objective.plain(labels, logits), self._objective.correct(labels, logits)

    def _joined(self, value: Any) -> NDArray[Any]:
        """The rows of all replicas, in their order."""
        return np.concatenate([part.numpy() for part in self._strategy.experimental_local_results(value)])

    def _features(self, inputs: Any) -> Any:
        """Input of the trained part: frozen layers run in inference mode, outside the tape."""
        x = backbones.normalise(inputs, self._settings.backbone) if self._raw else tf.cast(inputs, tf.float32)
        return x if self._below is None else self._below(x, training=False)


def trained_batch_norms(layers: Iterable[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """BatchNorm layers whose statistics change in training."""
    found = [part for layer in layers for part in layer._flatten_layers()]
    return [part for part in found if isinstance(part, keras.layers.BatchNormalization) and part.trainable]


@contextmanager
def _synchronized(layers: Sequence[keras.layers.Layer]) -> Iterator[None]:
    """A context in which traced BatchNorm layers reduce their statistics over replicas; the layers are restored."""
    before = [layer.synchronized for layer in layers]
    try:
        for layer in layers:
            layer.synchronized = True
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.synchronized = value
