"""Early stopping: whether an epoch is the best of its phase so far, and when waiting for a better one is over."""

from __future__ import annotations

import math
from dataclasses import dataclass

from frostline.artifacts import Json
from frostline.errors import ConfigError


@dataclass
class EarlyStopping:
    """What was the best epoch of a phase, and how many came after it.

    Attributes:
        patience: epochs without a better one after which training stops; 0: never, and nothing is tracked.
        monitor: what is looked at, a key of an epoch's row; a loss is better when lower, all else when higher.
        best: the best value so far; None before the first finite one.
        best_epoch: the epoch of `best`; 0 where there is none.
        waited: epochs since then.
    """

    patience: int
    monitor: str
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0

    def update(self, epoch: int, row: Json) -> bool:
        """Take one epoch's row; whether it is the best so far. A tie is not, nor is a value that is not finite.

        Raises:
            ConfigError: the row holds no such value, because there is no validation split.
        """
        if not self.patience:
            return False
        if self.monitor not in row:
            raise ConfigError(
                "training.patience",
                self.patience,
                f"{self.monitor} needs images to validate on: set data.validation_fraction above 0, or patience to 0",
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
        """Whether `patience` epochs in a row brought nothing better."""
        return 0 < self.patience <= self.waited

    def state(self) -> Json:
        """What `restore` takes: everything but the configuration."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def restore(self, state: Json) -> None:
        """Go on from what `state` gave."""
        self.best, self.best_epoch, self.waited = state["best"], state["best_epoch"], state["waited"]
