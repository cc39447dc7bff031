"""Where a training is: its subject, its state, and the checkpoints that both are kept in.

A run that is stopped, by a signal or with its node, resumes from its last checkpoint and ends in the same bits: the
order of examples, their variants and the masks of Dropout are functions of the seed and the step, and everything else
that changes is in the checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from typing import Any

import keras

from frostline.documents.freeze import FreezePlan
from frostline.documents.training import EpochRow, Equivalence
from frostline.errors import NonFiniteLoss, StorageError
from frostline.events import say
from frostline.freeze import certificate
from frostline.freeze.phases import Phase
from frostline.training import variables
from frostline.training.checkpoint import Checkpoints
from frostline.training.early_stopping import StoppingState
from frostline.training.variables import Arrays

MODEL, OPTIMIZER, BEST = "model", "optimizer", "best"  # prefixes of the arrays in a checkpoint


@dataclass
class State:
    """Where a training is.

    Attributes:
        phase: phases that are finished.
        epoch: finished epochs of the current phase.
        step: finished steps of the current epoch.
        total: finished steps of the whole run.
        loss, right: sums over the steps of the current epoch so far: losses (nats) and correct predictions.
        history: one row for each finished epoch.
        digests: of the backbone's weights, before the first phase and after each finished one.
        slots: for each finished phase, the backbone's tensors that the optimizer had slots for.
        proofs: for each finished phase, how cached features compare with the whole model; None without a cache.
        stopping: early stopping's own state in the current phase.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    total: int = 0
    loss: float = 0.0
    right: int = 0
    history: list[EpochRow] = field(default_factory=list)
    digests: list[certificate.Digests] = field(default_factory=list)
    slots: list[list[str]] = field(default_factory=list)
    proofs: list[Equivalence | None] = field(default_factory=list)
    stopping: StoppingState | None = None


@dataclass(frozen=True)
class Subject:
    """What is trained.

    Attributes:
        model: the whole model, built in the strategy's scope.
        backbone: those of its layers that the plan is about.
        plan: the freeze plan.
        schedule: its phases.
    """

    model: keras.Model
    backbone: Sequence[keras.layers.Layer]
    plan: FreezePlan
    schedule: Sequence[Phase]

    def moving(self, phase: int) -> list[Any]:
        """Variables that may have changed by phase number `phase` (0 is the first): not those frozen in all phases."""
        begun = self.schedule[: phase + 1]
        return variables.movable(self.model, frozenset.intersection(*(one.frozen for one in begun)))


class Saver:
    """Saves a training: at intervals, when the process is asked to stop, and at the end of each phase.

    At most one checkpoint is being written beside the training; it is written or has failed when the context ends.
    """

    def __init__(self, checkpoints: Checkpoints, seconds: float, stop_requested: Callable[[], bool]) -> None:
        """Take the place for checkpoints; the first interval starts now.

        Args:
            checkpoints: where they are kept.
            seconds: between two checkpoints.
            stop_requested: whether the process was asked to stop.
        """
        self.checkpoints = checkpoints
        self.stopping = False  # whether the process was asked to stop when `due` was last called
        self._seconds, self._stop_requested = seconds, stop_requested
        self._saved_at = time.monotonic()
        self._pool = ThreadPoolExecutor(1)
        self._writing: Future[str] | None = None

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.written()
        except StorageError as error:
            if kind is None:
                raise
            say(str(error))  # what ended the training is told already
        finally:
            self._pool.shutdown()

    def due(self) -> bool:
        """Whether to save now; to be called once after each step.

        Raises:
            StorageError: the checkpoint that was being written cannot be.
        """
        if self._writing and self._writing.done():
            self.written()
        self.stopping = self._stop_requested()
        return self.stopping or time.monotonic() - self._saved_at >= self._seconds

    def begin(self, subject: Subject, state: State, more: Arrays) -> None:
        """Copy the model's weights, `more` arrays and the state, and write the copy while the training goes on.

        Waits for the checkpoint before this one. What fails later is raised by the next call of this class.

        Raises:
            NonFiniteLoss: a value is infinite or NaN: the last step's loss was finite, its update was not.
            StorageError: the checkpoint before this one cannot be written.
        """
        self.written()
        arrays = {**variables.take(subject.moving(state.phase), MODEL), **more}
        wrong = variables.not_finite(arrays)
        if wrong:
            raise NonFiniteLoss(
                f"step {state.total}: {len(wrong)} of {len(arrays)} arrays are not finite after it, such as "
                f"{wrong[0]}; nothing was saved; {self.last_good(state.total)}; try a lower learning_rate"
            )
        self._writing = self._pool.submit(self.checkpoints.save, state.total, arrays, asdict(state))
        self._saved_at = time.monotonic()

    def written(self) -> str:
        """Wait for the checkpoint that is being written: its address, or empty if there is none.

        Raises:
            StorageError: it cannot be written.
        """
        writing, self._writing = self._writing, None
        return writing.result() if writing else ""

    def save(self, subject: Subject, state: State, more: Arrays) -> str:
        """Write a checkpoint and wait for it: its address.

        Raises:
            NonFiniteLoss, StorageError: as `begin`; or this checkpoint cannot be written.
        """
        self.begin(subject, state, more)
        return self.written()

    def last_good(self, before: int) -> str:
        """The newest checkpoint of an earlier step than `before`, in words."""
        if self._writing:
            wait([self._writing])  # it is listed, or has failed
        good = self.checkpoints.latest(before=before)
        return (
            f"the last good checkpoint is at step {good.step}, {good.uri}"
            if good
            else "there is no good checkpoint yet"
        )

    def resume(self, subject: Subject) -> tuple[State, Arrays, int | None]:
        """Load the newest checkpoint into the model.

        Returns:
            The state; the arrays for the current phase, empty at the start of one; the step of the checkpoint, None
            where there is none.
        """
        found = self.checkpoints.latest()
        if found is None:
            return State(), {}, None
        state = State(**found.state)
        variables.put(subject.moving(state.phase), MODEL, found.arrays)
        say(f"resuming from the checkpoint at step {found.step}, {found.uri}")
        return state, found.arrays if state.epoch or state.step else {}, found.step
