"""The training loop: explicit steps under a strategy, gradients only above the freeze boundary."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from frostline import backbones, head, input_pipeline
from frostline.artifacts import Json
from frostline.errors import ConfigError, DataError, FrostlineError
from frostline.events import say
from frostline.freeze.phases import Phase
from frostline.optimizer import LayerwiseAdam
from frostline.strategy import split


@dataclass(frozen=True)
class Data:
    """Where the records are, and how they are read.

    Attributes:
        directory: holds the TFRecords.
        image_size: stored height and width, in pixels.
        splits: number of examples by split.
        batch_size: images a step, over all replicas.
        seed: of the order of the training examples.
    """

    directory: Path
    image_size: int
    splits: dict[str, int]
    batch_size: int
    seed: int

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return input_pipeline.steps(self.splits["train"], self.batch_size)


def apply_phase(model: keras.Model, plan: Json, phase: Phase) -> None:
    """Set `trainable` of every backbone layer as planned; BatchNorm included, whose statistics then stay still.

    Passing `training=False` to a backbone inside a functional model is not enough: Keras 3 up to 3.15 ignores it.
    What was built before (an optimizer, a traced step) does not notice, so a `Trainer` is made after.
    """
    for layer in plan["layers"]:
        if layer["parameters"]:  # what owns no weights may be a plain operation, which has no such attribute
            model.get_layer(layer["name"]).trainable = layer["name"] not in phase.frozen


class Trainer:
    """One model in one phase under one strategy; all that must happen in the strategy's scope happens here."""

    def __init__(
        self, model: keras.Model, backbone: str, phase: Phase, data: Data, strategy: tf.distribute.MirroredStrategy
    ) -> None:
        """Split the model at the phase's boundary and make the optimizer, which knows no frozen weight.

        Must be called in the strategy's scope, after `apply_phase`.
        """
        outputs = {operation.name: operation.output for operation in model.operations}
        cut = outputs[phase.boundary] if phase.boundary else None
        self._backbone = backbone
        self._phase = phase
        self._data = data
        self._strategy = strategy
        self._prefix = None if cut is None else keras.Model(model.input, cut)
        self._suffix = keras.Model(model.input if cut is None else cut, outputs[head.LOGITS])
        self._trainable = model.trainable_variables
        self._optimizer = LayerwiseAdam(phase.learning_rate, model, phase.scales)
        signature = [
            tf.TensorSpec([None, data.image_size, data.image_size, 3], tf.uint8),
            tf.TensorSpec([None], tf.int64),
        ]
        self._predict = tf.function(self._measure, input_signature=signature)

    @property
    def optimized(self) -> list[Any]:
        """The variables that the optimizer has slots for."""
        return list(self._optimizer._trainable_variables)

    def fit(self, first_epoch: int, done: Iterator[int]) -> Iterator[Json]:
        """Train the phase epoch by epoch and yield one history row after each.

        Args:
            first_epoch: epochs of the phases before; the order of the examples depends on it.
            done: is advanced once a step.

        Raises:
            ConfigError: the training split is too small for the number of replicas.
            DataError: the records do not hold the examples that the data set says.
            FrostlineError: the loss is not finite.
        """
        data = self._data
        if data.splits["train"] // data.steps < self._strategy.num_replicas_in_sync:
            raise ConfigError(
                "batch_size", data.batch_size, f"every one of {data.steps} steps needs an image for each replica"
            )
        for epoch in range(first_epoch, first_epoch + self._phase.epochs):
            started = time.monotonic()
            row = {"epoch": epoch + 1, "phase": self._phase.number, **self._epoch(epoch, done), **self.validate()}
            if not math.isfinite(row["loss"]):
                raise FrostlineError(f"epoch {epoch + 1}: the loss is {row['loss']}; try a lower learning_rate")
            yield {**row, "seconds": round(time.monotonic() - started, 3)}

    def _epoch(self, epoch: int, done: Iterator[int]) -> Json:
        data, examples = self._data, self._data.splits["train"]
        loss, right, seen = tf.constant(0.0), tf.constant(0, tf.int64), 0
        for images, labels in self._batches("train", shuffle_seed=data.seed * 1_000_003 + epoch):
            next(done, None)
            size = tf.cast(tf.shape(labels)[0], tf.float32)
            batch_loss, batch_right = self._step(split(self._strategy, (images, labels)), size)
            loss, right, seen = loss + batch_loss, right + batch_right, seen + int(labels.shape[0])
        if seen != examples:
            raise DataError(f"train: read {seen} examples from {data.directory}; the data set has {examples}")
        return {"loss": float(loss) / examples, "accuracy": int(right) / examples}

    def validate(self) -> Json:
        """Loss and accuracy on the validation split; empty where there is none."""
        examples = self._data.splits.get("validation", 0)
        if not examples:
            return {}
        totals = [self._predict(images, labels) for images, labels in self._batches("validation")]
        loss, right = (sum(float(total[part]) for total in totals) for part in (0, 1))
        return {"validation_loss": loss / examples, "validation_accuracy": right / examples}

    def _batches(self, name: str, shuffle_seed: int | None = None) -> Any:
        data = self._data
        return input_pipeline.batches(
            data.directory,
            name,
            examples=data.splits[name],
            image_size=data.image_size,
            batch_size=data.batch_size,
            shuffle_seed=shuffle_seed,
        )

    @tf.function
    def _step(self, batch: Any, size: Any) -> tuple[Any, Any]:
        """One optimizer step on one global batch: (summed loss, number right)."""
        losses, right = self._strategy.run(self._replica_step, args=(*batch, size))
        total = tf.distribute.ReduceOp.SUM
        return self._strategy.reduce(total, losses, axis=None), self._strategy.reduce(total, right, axis=None)

    def _replica_step(self, images: Any, labels: Any, size: Any) -> tuple[Any, Any]:
        features = self._features(images)
        with tf.GradientTape() as tape:
            logits = self._suffix(features, training=True)
            loss = tf.reduce_sum(_losses(labels, logits))
            scaled = loss / size  # the optimizer sums gradients over replicas: the mean is over the global batch
        gradients = tape.gradient(scaled, [variable.value for variable in self._trainable])
        self._optimizer.apply(gradients, self._trainable)
        return loss, _number_right(labels, logits)

    def _measure(self, images: Any, labels: Any) -> tuple[Any, Any]:
        logits = self._suffix(self._features(images), training=False)
        return tf.reduce_sum(_losses(labels, logits)), _number_right(labels, logits)

    def _features(self, images: Any) -> Any:
        pixels = backbones.normalise(images, self._backbone)
        return pixels if self._prefix is None else self._prefix(pixels, training=False)


def describe(row: Json, epochs: int) -> None:
    """Say one history row in a line: the first, the last, and some ten between."""
    if row["epoch"] not in (1, epochs) and row["epoch"] % max(1, epochs // 10):
        return
    validation = f", validation accuracy {row['validation_accuracy']:.3f}" if "validation_accuracy" in row else ""
    say(f"epoch {row['epoch']}/{epochs}: loss {row['loss']:.4f}, accuracy {row['accuracy']:.3f}{validation}")


def _losses(labels: Any, logits: Any) -> Any:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))


def _number_right(labels: Any, logits: Any) -> Any:
    return tf.reduce_sum(tf.cast(tf.argmax(logits, axis=-1) == labels, tf.int64))
