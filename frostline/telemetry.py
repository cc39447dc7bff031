"""What bounds a run, in time and in memory, and its history as scalars for TensorBoard."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from frostline.artifacts import Json

T = TypeVar("T")

# Below it, input that takes no time at all would make the run at most 1 / (1 - 0.2) = 1.25 times as fast.
INPUT_BOUND = 0.2
_VALIDATION = "validation_"


class Clock:
    """One loop: how long it waited for input, and how long it took in all. The first lap starts now."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._waited = 0.0

    def waiting(self, items: Iterable[T]) -> Iterator[T]:
        """Yield `items`, adding up the time until each is there."""
        iterator = iter(items)
        while True:
            began = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self._waited += time.perf_counter() - began
            yield item

    def lap(self, images: int) -> Json:
        """What happened since the last lap, in which `images` were processed; a new one starts.

        Returns:
            `seconds`, `images_per_second`, and `input_wait`: the share (0 to 1) of the time that went into waiting.
            A GPU that is still busy with earlier steps while the loop waits makes that an upper limit of what
            faster input would save.
        """
        now = time.perf_counter()
        seconds = max(now - self._began, 1e-9)
        lap = {
            "seconds": seconds,
            "images_per_second": images / seconds,
            "input_wait": min(self._waited / seconds, 1.0),
        }
        self._began, self._waited = now, 0.0
        return lap


def peak_memory() -> Json:
    """The most memory that this process has held so far.

    Returns:
        `host_bytes`: the largest resident set (getrusage's ru_maxrss). `device_bytes`: by GPU, such as `GPU:0`, the
        most that TensorFlow's allocator handed out; empty without a GPU.
    """
    import tensorflow as tf

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    names = [device.name for device in tf.config.list_logical_devices("GPU")]
    return {
        "host_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "device_bytes": {
            name.rpartition("device:")[2]: int(tf.config.experimental.get_memory_info(name)["peak"]) for name in names
        },
    }


def bound(input_wait: float, cached: bool) -> str:
    """One sentence: what a run spends its time on.

    Args:
        input_wait: share (0 to 1) of the time that went into waiting for input.
        cached: whether the input is read from a feature cache, or decoded from records.
    """
    reading = "reading cached features" if cached else "input (decoding records)"
    by = "compute" if input_wait < INPUT_BOUND else reading
    return f"bound by {by}: {100 * input_wait:.0f} % of the time went into waiting for input"


class Scalars:
    """Writes a history as TensorBoard's scalars, into one new event file below a directory. A context manager."""

    def __init__(self, directory: str) -> None:
        """Take the directory, which need not exist; the file is made on entering."""
        self._directory = directory

    def __enter__(self) -> Scalars:
        import tensorflow as tf

        self._writer = tf.summary.create_file_writer(self._directory)
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, row: Json) -> None:
        """Write every number of a history row at step `epoch`; the file holds it on return.

        `validation_loss` becomes `validation/loss`, `loss` and all else `train/loss` and so on.
        """
        import tensorflow as tf

        # tf.summary.scalar needs the tensorboard package, which only who looks at the file has to have.
        values = [
            tf.compat.v1.Summary.Value(tag=_tag(key), simple_value=value)
            for key, value in row.items()
            if key != "epoch" and not isinstance(value, bool) and isinstance(value, int | float)
        ]
        summary = tf.compat.v1.Summary(value=values)
        with self._writer.as_default():  # leaving it flushes the file
            tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=row["epoch"])


def _tag(key: str) -> str:
    return f"validation/{key.removeprefix(_VALIDATION)}" if key.startswith(_VALIDATION) else f"train/{key}"
