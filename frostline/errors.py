"""The exception tree. Every error that a user can cause is a FrostlineError with a one-line message.

FrostlineError            exit code 1: the run failed, or the answer is no
├── ConfigError           exit code 2: the configuration or the command line is wrong; no work has been done yet
├── DataError             the images, labels or records cannot be used
├── WeightsError          the weights are missing or do not fit the backbone
├── PolicyError           exit code 2: the freeze policy cannot be resolved against the backbone
├── FreezeViolation       a frozen weight changed during training
├── FeaturesDisagree      cached features give other results than the whole model
├── NonFiniteLoss         the loss of a training step is infinite or NaN
├── Preempted             exit code 143: training received SIGTERM and can resume from its checkpoint
├── StorageError          a file, directory or bucket cannot be read or written
│   ├── NotFound          nothing exists at this address
│   ├── NotRegular        what is at this address is no file
│   └── PreconditionFailed  the object is not, or no longer, what the writer expected
└── RegistryError         the model registry does not hold what was requested
    ├── ChampionChanged   the champion changed after the model was compared with it
    └── NotSigned         a version has no valid signature, and one is demanded
"""

from __future__ import annotations

_LONGEST = 300  # characters of a value in a message


def shown(received: object) -> str:
    """A value as Python writes it, cut where a message would get too long, whatever the value is."""
    try:
        text = repr(received)
    except (ValueError, RecursionError):  # an integer of more than 4300 digits, or lists inside each other
        return f"a value of type {type(received).__name__} that is too large to show"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _printable(field: str) -> str:
    short = field if len(field) <= _LONGEST else f"{field[:_LONGEST]}..."
    return short if short.isprintable() else repr(short)[1:-1]


class FrostlineError(Exception):
    """An expected failure with a one-line message. The command line exits with `exit_code`."""

    exit_code = 1


class ConfigError(FrostlineError):
    """A configuration value that cannot be used.

    Args:
        field: dotted name of the field (`freeze.through`) or the path of the file.
        received: the value as received; a long one is cut in the message.
        expected: what is expected, as a clause.
    """

    exit_code = 2

    def __init__(self, field: str, received: object, expected: str) -> None:
        super().__init__(f"{_printable(field)}: received {shown(received)}; {expected}")
        self.field = field
        self.received = received
        self.expected = expected


class DataError(FrostlineError):
    """The images, labels or records cannot be used."""


class WeightsError(FrostlineError):
    """The weights are missing or do not fit the backbone."""


class PolicyError(FrostlineError):
    """The freeze policy cannot be resolved against the backbone."""

    exit_code = 2


class FreezeViolation(FrostlineError):
    """A frozen weight changed during training."""


class FeaturesDisagree(FrostlineError):
    """Cached features give other results than the whole model."""


class NonFiniteLoss(FrostlineError):
    """The loss of a training step, or a weight after it, is infinite or NaN."""


class Preempted(FrostlineError):
    """Training received SIGTERM and wrote a checkpoint; the next attempt resumes from it."""

    exit_code = 143  # as a shell reports it: 128 + SIGTERM


class StorageError(FrostlineError):
    """A file, directory or bucket cannot be read or written."""


class NotFound(StorageError):
    """Nothing exists at this address."""


class NotRegular(StorageError):
    """What is at this address is no file: a directory, FIFO, socket or device."""


class PreconditionFailed(StorageError):
    """The object is not, or no longer, what the writer expected."""


class RegistryError(FrostlineError):
    """The model registry does not hold what was requested."""


class ChampionChanged(RegistryError):
    """The champion changed after the model was compared with it."""


class NotSigned(RegistryError):
    """A version has no signature with the key that is demanded, or it is not one of this version."""
