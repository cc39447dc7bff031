"""All phases of a training, resumable at any step.

What the training is at a step is one `State` and the arrays that go with it. A run that is stopped, by a signal or by
its node, goes on from its last checkpoint and ends in the same bits: the order of examples, their variants and the
masks of Dropout are functions of the seed and the step, and everything else that moves is in the checkpoint.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from frostline.artifacts import Json
from frostline.data import batches
from frostline.data.batches import BatchSource
from frostline.errors import NonFiniteLoss, Preempted
from frostline.events import Progress, say
from frostline.freeze import certificate
from frostline.freeze.phases import Phase
from frostline.telemetry import Clock
from frostline.training import loop, variables
from frostline.training.checkpoint import Checkpoints
from frostline.training.early_stopping import EarlyStopping
from frostline.training.variables import Arrays

_CHECK_EVERY = 32  # steps between two looks at the losses: each look waits for the device
_SHOWN = 16  # ids in a message
_MODEL, _OPTIMIZER, _BEST = "model", "optimizer", "best"


@dataclass
class State:
    """Where a training is.

    Attributes:
        phase: phases that are over.
        epoch: epochs of the present phase that are over.
        step: steps of the present epoch that are done.
        total: steps of the whole run that are done.
        loss, right: sums over the present epoch's steps so far.
        history: one row for each epoch that is over.
        digests: of the backbone's weights, before the first phase and after each that is over.
        slots: for each phase that is over, the backbone's tensors that the optimizer had slots for.
        proofs: for each phase that is over, what comparing cached features with the whole model gave; null without.
        stopping: early stopping's own state in the present phase.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    total: int = 0
    loss: float = 0.0
    right: int = 0
    history: list[Json] = field(default_factory=list)
    digests: list[certificate.Digests] = field(default_factory=list)
    slots: list[list[str]] = field(default_factory=list)
    proofs: list[Json | None] = field(default_factory=list)
    stopping: Json = field(default_factory=dict)


@dataclass(frozen=True)
class PhaseSources:
    """Where the images, or features, of one phase come from; `views` variants of each are taken in turn."""

    train: BatchSource
    validation: BatchSource
    views: int

    @property
    def cached(self) -> bool:
        """Whether features are read instead of images."""
        return bool(self.train.layer)


class Fit:
    """A model, its phases, and what they are trained on."""

    def __init__(
        self,
        model: keras.Model,
        backbone: Sequence[keras.layers.Layer],
        plan: Json,
        schedule: Sequence[Phase],
        sources: Sequence[PhaseSources],
        settings: loop.StepSettings,
        strategy: tf.distribute.Strategy,
        checkpoints: Checkpoints,
        prove: Callable[[PhaseSources], Json | None],
        stopped: Callable[[], bool],
        tell: Callable[[Json], None],
    ) -> None:
        """Take what to train; nothing is loaded or computed yet.

        Args:
            model: the whole model, made in the strategy's scope.
            backbone: its layers that the plan is about.
            plan: the freeze plan.
            schedule: its phases.
            sources: for each phase.
            settings: of the run.
            strategy: one or more replicas.
            checkpoints: where they are kept.
            prove: compares a phase's cached features with the whole model, once the phase is over.
            stopped: whether the run was asked to stop; looked at after each step.
            tell: takes each row of the history, those of earlier attempts first.
        """
        self._model, self._backbone, self._plan, self._schedule = model, backbone, plan, schedule
        self._sources, self._settings, self._strategy = sources, settings, strategy
        self._checkpoints, self._prove, self._stopped, self._tell = checkpoints, prove, stopped, tell
        self._state = State()
        self._best: Arrays = {}
        self._unsettled: list[tuple[Any, Any]] = []  # losses and counts that may still be on the device
        self._saved_at = time.monotonic()
        self._clock = Clock()
        self.resumed_from: int | None = None

    def run(self) -> State:
        """Train what is left to train.

        Raises:
            NonFiniteLoss: a loss is infinite or no number.
            Preempted: the run was asked to stop, and its checkpoint is written.
            ConfigError, DataError, StorageError: what was handed over cannot be used.
        """
        arrays = self._resume()
        if not self._state.digests:
            self._state.digests.append(certificate.replica_digests(self._backbone))
        epochs = sum(phase.epochs for phase in self._schedule)
        images = sum(phase.epochs * len(part.train.examples) for phase, part in self._paired())
        with Progress(images, "images") as self._progress:
            self._progress.advance(self._images_done())
            for phase, sources in self._paired()[self._state.phase :]:
                self._phase(phase, sources, arrays, epochs)
                arrays = {}
        return self._state

    def _paired(self) -> list[tuple[Phase, PhaseSources]]:
        return list(zip(self._schedule, self._sources, strict=True))

    def _phase(self, phase: Phase, sources: PhaseSources, arrays: Arrays, epochs: int) -> None:
        state, counts = self._state, _class_counts(sources.train, self._model.output.shape[-1])
        with self._strategy.scope():
            loop.apply_phase(self._model, self._plan, phase)
            trainer = loop.Trainer(self._model, phase, sources.train, self._settings, self._strategy, counts)
        training = self._settings.training
        stopping = EarlyStopping(training.patience, training.monitor)
        if arrays:
            variables.put(trainer.optimizer.variables, _OPTIMIZER, arrays)
            stopping.restore(state.stopping)
            self._best = {name: value for name, value in arrays.items() if name.startswith(f"{_BEST}/")}
        self._introduce(phase, trainer)
        self._clock.lap(0)
        with trainer.configured():
            while state.epoch < phase.epochs and not stopping.done:
                row = self._epoch(phase, trainer, sources, stopping)
                _describe(row, epochs)
        if stopping.done:
            say(f"phase {phase.number}: no better {stopping.monitor} for {stopping.patience} epochs; it ends here")
        if self._best:
            variables.put(self._moving(), _BEST, self._best)
            say(f"phase {phase.number}: the weights are those of epoch {stopping.best_epoch}, its best")
        state.digests.append(certificate.replica_digests(self._backbone))
        state.slots.append(certificate.names_of(trainer.optimized, self._backbone))
        state.proofs.append(self._prove(sources))
        state.phase, state.epoch, state.stopping, self._best = state.phase + 1, 0, {}, {}
        self._save(None, None)

    def _epoch(self, phase: Phase, trainer: loop.Trainer, sources: PhaseSources, stopping: EarlyStopping) -> Json:
        state, train = self._state, sources.train
        # Counted as planned, also where an earlier phase ended early: the cache holds the views of the plan.
        epoch = sum(part.epochs for part in self._schedule[: state.phase]) + state.epoch
        examples = len(train.examples)
        order = batches.order(examples, self._settings.seed, epoch)
        parts = batches.cut(order, self._settings.batch_size)
        todo = parts[state.step :]
        coming = batches.stream(train, todo, epoch % sources.views)
        for part, (inputs, labels) in zip(todo, self._clock.waiting(coming), strict=True):
            self._unsettled.append(trainer.step(inputs, labels, state.total))
            state.step, state.total = state.step + 1, state.total + 1
            self._progress.advance(len(part))
            if len(self._unsettled) >= _CHECK_EVERY or state.step == len(parts):
                self._settle(train, parts)
            self._save_if_due(trainer, stopping, train, parts)
        row = {
            "epoch": len(state.history) + 1,
            "phase": phase.number,
            "loss": state.loss / examples,
            "accuracy": state.right / examples,
            **trainer.validate(sources.validation),
            "learning_rate": trainer.learning_rate,
            **self._clock.lap(sum(map(len, todo))),
        }
        if not math.isfinite(row.get("validation_loss", 0.0)):
            raise NonFiniteLoss(
                f"epoch {row['epoch']}: the validation loss is {row['validation_loss']}; one of its images?"
            )
        state.history.append(row)
        self._tell(row)
        state.epoch, state.step, state.loss, state.right = state.epoch + 1, 0, 0.0, 0
        if stopping.update(row["epoch"], row):
            self._best = variables.take(self._moving(), _BEST)
        return row

    def _settle(self, source: BatchSource, parts: Sequence[Any]) -> None:
        """Take the losses off the device, in the order of their steps, and stop at the first that is not finite."""
        state, first = self._state, self._state.step - len(self._unsettled)
        for offset, (loss, right) in enumerate(self._unsettled):
            if not math.isfinite(float(loss)):
                raise self._non_finite(
                    float(loss), offset + first, [source.examples.ids[i] for i in parts[offset + first]]
                )
            state.loss, state.right = state.loss + float(loss), state.right + int(right)
        self._unsettled.clear()

    def _non_finite(self, loss: float, step: int, ids: Sequence[str]) -> NonFiniteLoss:
        number = self._state.total - self._state.step + step + 1
        good = self._checkpoints.latest()
        where = f"the last good checkpoint is of step {good.step}, {good.uri}" if good else "there is no checkpoint yet"
        listed = self._checkpoints.note("non_finite.json", {"step": number, "loss": str(loss), "ids": list(ids)})
        shown = ", ".join(one[:12] for one in ids[:_SHOWN])
        return NonFiniteLoss(
            f"step {number} (epoch {len(self._state.history) + 1}): the loss is {loss}; {where}; the batch's images "
            f"are {shown}{', ...' if len(ids) > _SHOWN else ''}, all in {listed}; try a lower learning_rate"
        )

    def _save_if_due(
        self, trainer: loop.Trainer, stopping: EarlyStopping, source: BatchSource, parts: Sequence[Any]
    ) -> None:
        stopped = self._stopped()
        if not stopped and time.monotonic() - self._saved_at < self._settings.training.checkpoint_seconds:
            return
        self._settle(source, parts)
        uri = self._save(trainer, stopping)
        if stopped:
            raise Preempted(f"stopped at step {self._state.total}; the next attempt goes on from {uri}")

    def _save(self, trainer: loop.Trainer | None, stopping: EarlyStopping | None) -> str:
        arrays = {**variables.take(self._moving(), _MODEL), **self._best}
        if trainer is not None and stopping is not None:
            arrays |= variables.take(trainer.optimizer.variables, _OPTIMIZER)
            self._state.stopping = stopping.state()
        uri = self._checkpoints.save(self._state.total, arrays, asdict(self._state))
        self._saved_at = time.monotonic()
        return uri

    def _resume(self) -> Arrays:
        found = self._checkpoints.latest()
        if found is None:
            return {}
        self._state = State(**found.state)
        for row in self._state.history:
            self._tell(row)
        variables.put(self._moving(), _MODEL, found.arrays)
        self.resumed_from = found.step
        say(f"goes on from the checkpoint of step {found.step}, {found.uri}")
        return found.arrays if self._state.epoch or self._state.step else {}

    def _moving(self) -> list[Any]:
        """Variables that may have moved so far: all but those of layers that every phase up to now froze."""
        begun = self._schedule[: self._state.phase + 1]
        return variables.movable(self._model, frozenset.intersection(*(phase.frozen for phase in begun)))

    def _images_done(self) -> int:
        done = sum(len(self._sources[row["phase"] - 1].train.examples) for row in self._state.history)
        return done + self._state.step * self._settings.batch_size

    def _introduce(self, phase: Phase, trainer: loop.Trainer) -> None:
        parameters = sum(math.prod(weight.shape) for weight in self._model.trainable_variables)
        say(
            f"phase {phase.number} of {len(self._schedule)}: {parameters:,} trainable parameters, "
            f"learning rate {phase.learning_rate:g}"
        )
        if self._strategy.num_replicas_in_sync == 1:
            return
        if trainer.counting:
            say(f"{trainer.counting[0]} draws random numbers on each replica by itself: other numbers than on one")
        if loop.trained_batch_norms(self._model.layers) and not self._settings.training.synchronized_batch_norm:
            say(
                "BatchNorm trains on each replica's own images: other numbers than on one, and statistics that differ "
                "between replicas; training.synchronized_batch_norm takes all images together"
            )


def _class_counts(source: BatchSource, classes: int) -> list[int]:
    return [int(count) for count in np.bincount(source.examples.labels, minlength=classes)]


def _describe(row: Json, epochs: int) -> None:
    """Say one history row in a line: the first, the last, and some ten between."""
    if row["epoch"] not in (1, epochs) and row["epoch"] % max(1, epochs // 10):
        return
    validation = f", validation accuracy {row['validation_accuracy']:.3f}" if "validation_accuracy" in row else ""
    say(
        f"epoch {row['epoch']}/{epochs}: loss {row['loss']:.4f}, accuracy {row['accuracy']:.3f}{validation}, "
        f"{row['images_per_second']:.0f} images/s"
    )
