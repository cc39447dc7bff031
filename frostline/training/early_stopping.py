"""Early stopping: whether an epoch is the best of its phase so far, and when to stop waiting for a better one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypedDict

from frostline.documents.training import EpochRow
from frostline.errors import ConfigError

Monitor = Literal["validation_loss", "validation_accuracy"]


class StoppingState(TypedDict):
    """What a checkpoint keeps of early stopping."""

    best: float | None
    best_epoch: int
    waited: int


@dataclass
class EarlyStopping:
    """The best epoch of a phase so far, and the number of epochs since.

    Attributes:
        patience: epochs without improvement after which the phase ends; 0 disables early stopping.
        monitor: the metric, a key of an epoch's row; a loss improves when it falls, an accuracy when it rises.
        best: the best value so far; None before the first finite one.
        best_epoch: the epoch of `best`; 0 if there is none.
        waited: epochs since then.
    """

    patience: int
    monitor: Monitor
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0

    def update(self, epoch: int, row: EpochRow) -> bool:
        """Add an epoch; returns whether it is the best so far. Ties and values that are not finite are not better.

        Raises:
            ConfigError: the row has no such metric, because there is no validation split.
        """
        if not self.patience:
            return False
        if self.monitor not in row:
            raise ConfigError(
                "training.patience",
                self.patience,
                f"{self.monitor} needs validation images: set data.validation_fraction above 0, or patience to 0",
            )
        value = float(row[self.monitor])
        if not self._is_better(value):
            self.waited += 1
            return False
        self.best, self.best_epoch, self.waited = value, epoch, 0
        return True

    def _is_better(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self.best is None:
            return True
        return value < self.best if self.monitor.endswith("loss") else value > self.best

    @property
    def done(self) -> bool:
        """Whether `patience` epochs in a row brought no improvement."""
        return 0 < self.patience <= self.waited

    def state(self) -> StoppingState:
        """The argument of `restore`: everything except the configuration."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def restore(self, state: StoppingState | None) -> None:
        """Continue from a saved state; None is that of a phase that starts."""
        state = state or {"best": None, "best_epoch": 0, "waited": 0}
        self.best, self.best_epoch, self.waited = state["best"], state["best_epoch"], state["waited"]
