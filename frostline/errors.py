"""The exception tree. Every error that a user can cause is a FrostlineError with a one-line message.

FrostlineError            exit code 1: the run failed, or its outcome is "no"
├── ConfigError           exit code 2: the configuration or the command line is wrong; nothing has been spent yet
├── DataError             the images, labels or records cannot be used as they are
├── WeightsError          weights are missing or do not fit the backbone
├── PolicyError           exit code 2: a freeze policy that cannot be resolved against the backbone
├── FreezeViolation       a frozen weight moved during training
├── FeaturesDisagree      cached features do not give what the whole model gives
├── NonFiniteLoss         training diverged, or met an image that it cannot take
├── Preempted             exit code 143: training was told to stop, and can go on from its checkpoint
├── StorageError          a file, directory or bucket cannot be read or written
│   ├── NotFound          there is nothing at this address
│   └── PreconditionFailed  the object is no longer, or already, what the writer assumed
└── RegistryError         the model registry does not hold what was asked for
    └── ChampionChanged   another promotion came between the comparison and this one
"""

from __future__ import annotations


class FrostlineError(Exception):
    """An expected failure, told in one line. `exit_code` is what the command line exits with."""

    exit_code = 1


class ConfigError(FrostlineError):
    """A configuration value that cannot be used.

    Args:
        field: dotted name of the field (`freeze.through`) or the path of the file.
        received: the value as received.
        expected: what would be right, as a clause.
    """

    exit_code = 2

    def __init__(self, field: str, received: object, expected: str) -> None:
        super().__init__(f"{field}: received {received!r}; {expected}")
        self.field = field
        self.received = received
        self.expected = expected


class DataError(FrostlineError):
    """The images, labels or records cannot be used as they are."""


class WeightsError(FrostlineError):
    """Weights are missing or do not fit the backbone."""


class PolicyError(FrostlineError):
    """A freeze policy that cannot be resolved against the backbone."""

    exit_code = 2


class FreezeViolation(FrostlineError):
    """A frozen weight moved during training."""


class FeaturesDisagree(FrostlineError):
    """Cached features do not give what the whole model gives."""


class NonFiniteLoss(FrostlineError):
    """The loss of a step is infinite or no number."""


class Preempted(FrostlineError):
    """Training was told to stop; its checkpoint is written, and the next attempt goes on from there."""

    exit_code = 143  # 128 + SIGTERM, as a shell tells it


class StorageError(FrostlineError):
    """A file, directory or bucket cannot be read or written."""


class NotFound(StorageError):
    """There is nothing at this address."""


class PreconditionFailed(StorageError):
    """The object is no longer, or already, what the writer assumed."""


class RegistryError(FrostlineError):
    """The model registry does not hold what was asked for."""


class ChampionChanged(RegistryError):
    """Another promotion came between the comparison and this one."""
