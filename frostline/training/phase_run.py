"""One phase of a training: its epochs, its best weights, and what it leaves in the state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frostline.data import batches
from frostline.data.batches import BatchSource
from frostline.documents.training import EpochRow, Equivalence
from frostline.errors import NonFiniteLoss, Preempted, StorageError
from frostline.events import Progress, say
from frostline.freeze import certificate
from frostline.freeze.phases import Phase
from frostline.training import loop, variables
from frostline.training.early_stopping import EarlyStopping
from frostline.training.feed import PhaseSources
from frostline.training.state import BEST, OPTIMIZER, Saver, State, Subject
from frostline.training.telemetry import Clock
from frostline.training.variables import Arrays

CHECK_EVERY = 32  # steps between two checks of the losses: each check waits for the device
_SHOWN = 16  # ids in a message
Positions = NDArray[np.int64]


class PhaseRun:
    """A phase that runs or resumes; `epochs` trains it, `finish` closes it."""

    def __init__(
        self,
        subject: Subject,
        phase: Phase,
        sources: PhaseSources,
        settings: loop.StepSettings,
        strategy: tf.distribute.Strategy,
        *,
        state: State,
        saver: Saver,
        arrays: Arrays,
        progress: Progress,
    ) -> None:
        """Freeze the layers as planned and make the trainer.

        Args:
            subject: what is trained.
            phase: the phase.
            sources: its images or features.
            settings: of every step.
            strategy: one or more replicas.
            state: of the training; this phase is the current one.
            saver: of checkpoints.
            arrays: of the checkpoint that this phase resumes from; empty for a phase that starts.
            progress: counts images.
        """
        self.subject, self.phase, self.sources = subject, phase, sources
        self._settings, self._strategy = settings, strategy
        self._state, self._saver, self._progress = state, saver, progress
        self._unchecked: list[tuple[Any, Any]] = []  # losses and counts that may still be on the device
        with strategy.scope():
            loop.apply_phase(subject.model, subject.plan["layers"], phase)
            counts = np.bincount(sources.train.examples.labels, minlength=subject.model.output.shape[-1])
            self.trainer = loop.Trainer(subject.model, phase, sources.train, settings, strategy, counts.tolist())
        self._stopping = EarlyStopping(settings.training.patience, settings.training.monitor)
        self._best: Arrays = {}
        if arrays:
            variables.put(self.trainer.optimizer.variables, OPTIMIZER, arrays)
            self._stopping.restore(state.stopping)
            self._best = {name: value for name, value in arrays.items() if name.startswith(f"{BEST}/")}
        self._clock = Clock()

    def epochs(self) -> Iterator[EpochRow]:
        """Train until the phase is over, or early stopping ends it; then the model has its best weights.

        Yields:
            The row of each epoch.

        Raises:
            NonFiniteLoss: a loss is infinite or not a number.
            Preempted: the process was asked to stop, and its checkpoint is written.
            DataError: a record or a feature cannot be read.
            StorageError: a checkpoint cannot be written.
        """
        self._introduce()
        self._clock.lap(0)
        stopping, number = self._stopping, self.phase.number
        with self.trainer.configured():
            while self._state.epoch < self.phase.epochs and not stopping.done:
                yield self.epoch()
        if stopping.done:
            say(f"phase {number}: ended early, {stopping.patience} epochs without a better {stopping.monitor}")
        if self._best:
            variables.put(self.subject.moving(self._state.phase), BEST, self._best)
            say(f"phase {number}: restored the weights of epoch {stopping.best_epoch}, the best one")

    def finish(self, equivalence: Equivalence | None) -> None:
        """Record the end of the phase, and save it.

        Args:
            equivalence: how cached features compare with the whole model, as it is now; None without a cache.

        Raises:
            NonFiniteLoss: a weight is infinite or NaN.
            StorageError: this checkpoint, or the one that is still being written, cannot be, and phases are left.
        """
        state, backbone = self._state, self.subject.backbone
        state.digests.append(certificate.replica_digests(backbone))
        state.slots.append(certificate.names_of(self.trainer.optimized, backbone))
        state.proofs.append(equivalence)
        state.epoch, state.stopping = 0, None
        state.phase += 1
        self._saved(self._saver.written)
        self._saved(lambda: self._saver.save(self.subject, state, {}))

    def _saved(self, write: Callable[[], str]) -> None:
        """Write a checkpoint, or wait for it; where training is done, a failure is only told."""
        try:
            write()
        except StorageError as error:
            if self._state.phase < len(self.subject.schedule):
                raise
            say(f"{error}; training is done and goes on without this checkpoint")

    def epoch(self) -> EpochRow:
        """Train the current epoch, or what is left of it, and validate."""
        state, train = self._state, self.sources.train
        # Counted as planned, even if an earlier phase ended early: the cache holds the views of the plan.
        epoch = sum(one.epochs for one in self.subject.schedule[: state.phase]) + state.epoch
        order = batches.order(len(train.examples), self._settings.seed, epoch)
        parts = batches.cut(order, self._settings.batch_size)
        todo = parts[state.step :]
        coming = batches.stream(train, todo, epoch % self.sources.views, self.trainer.deal)
        for part, dealt in zip(todo, self._clock.waiting(coming), strict=True):
            self._unchecked.append(self.trainer.step(dealt, state.total))
            state.step, state.total = state.step + 1, state.total + 1
            self._progress.advance(len(part))
            if len(self._unchecked) >= CHECK_EVERY or state.step == len(parts):
                self._check_losses(parts)
            if self._saver.due():
                self._check_losses(parts)
                self._save()
        row = self._row(sum(map(len, todo)))
        state.history.append(row)
        state.epoch, state.step, state.loss, state.right = state.epoch + 1, 0, 0.0, 0
        if self._stopping.update(row["epoch"], row):
            self._best = variables.take(self.subject.moving(state.phase), BEST)
        return row

    def _row(self, trained: int) -> EpochRow:
        state, examples = self._state, len(self.sources.train.examples)
        row: EpochRow = {
            "epoch": len(state.history) + 1,
            "phase": self.phase.number,
            "loss": state.loss / examples,
            "accuracy": state.right / examples,
            **self.trainer.validate(self.sources.validation),
            "learning_rate": self.trainer.learning_rate,
            **self._clock.lap(trained),
        }
        loss = row.get("validation_loss", 0.0)
        if not math.isfinite(loss):
            raise NonFiniteLoss(f"epoch {row['epoch']}: the validation loss is {loss}; check the validation images")
        return row

    def _check_losses(self, parts: Sequence[Positions]) -> None:
        """Fetch the losses from the device, in the order of their steps; stop at the first that is not finite."""
        state = self._state
        first = state.step - len(self._unchecked)
        for step, (loss, right) in enumerate(self._unchecked, start=first):
            if not math.isfinite(float(loss)):
                raise self._non_finite(float(loss), step, self.sources.train, parts[step])
            state.loss, state.right = state.loss + float(loss), state.right + int(right)
        self._unchecked.clear()

    def _non_finite(self, loss: float, step: int, source: BatchSource, part: Positions) -> NonFiniteLoss:
        ids = [source.examples.ids[position] for position in part]
        number = self._state.total - self._state.step + step + 1
        # Weights can be finite and useless already: what was saved just before this step has no finite loss after it.
        where = self._saver.last_good(number - 1)
        note = self._saver.checkpoints.note("non_finite.json", {"step": number, "loss": str(loss), "ids": ids})
        shown = ", ".join(one[:12] for one in ids[:_SHOWN])
        return NonFiniteLoss(
            f"step {number} (epoch {len(self._state.history) + 1}): the loss is {loss}; {where}; the images of the "
            f"batch are {shown}{', ...' if len(ids) > _SHOWN else ''} (all in {note}); try a lower learning_rate"
        )

    def _save(self) -> None:
        self._state.stopping = self._stopping.state()
        more = {**self._best, **variables.take(self.trainer.optimizer.variables, OPTIMIZER)}
        self._saver.begin(self.subject, self._state, more)
        if self._saver.stopping:
            uri = self._saver.written()
            raise Preempted(f"stopped at step {self._state.total}; the next attempt resumes from {uri}")

    def _introduce(self) -> None:
        model, phase = self.subject.model, self.phase
        parameters = sum(math.prod(weight.shape) for weight in model.trainable_variables)
        say(
            f"phase {phase.number} of {len(self.subject.schedule)}: {parameters:,} trainable parameters, learning "
            f"rate {phase.learning_rate:g}"
        )
        if self._strategy.num_replicas_in_sync == 1:
            return
        if self.trainer.counting:
            say(f"{self.trainer.counting[0]} draws random numbers per replica: results depend on the replica count")
        if loop.trained_batch_norms(model.layers) and not self._settings.training.synchronized_batch_norm:
            say(
                "BatchNorm trains on each replica's own images: results depend on the replica count, and statistics "
                "differ between replicas; training.synchronized_batch_norm uses all images together"
            )
