"""Time, memory and history of a run: what bounds it, its peak memory, and scalars for TensorBoard."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from frostline.documents.training import EpochRow, Lap, Memory

T = TypeVar("T")

# Below this fraction, free input would make the run at most 1 / (1 - 0.2) = 1.25 times as fast.
INPUT_BOUND = 0.2
_VALIDATION = "validation_"


class Clock:
    """Measures a loop: the time it waited for input, and the whole time. The first lap starts now."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._waited = 0.0

    def waiting(self, items: Iterable[T]) -> Iterator[T]:
        """Yield `items`, adding up the time until each arrives."""
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

    def lap(self, images: int) -> Lap:
        """End a lap in which `images` were processed, and start the next.

        If a GPU is still busy with earlier steps while the loop waits, `input_wait` is an upper bound of what faster
        input would save.
        """
        now = time.perf_counter()
        seconds = max(now - self._began, 1e-9)
        lap: Lap = {
            "seconds": seconds,
            "images_per_second": images / seconds,
            "input_wait": min(self._waited / seconds, 1.0),
        }
        self._began, self._waited = now, 0.0
        return lap


def peak_memory() -> Memory:
    """Peak memory of this process so far.

    Returns:
        `host_bytes`: the largest resident set (getrusage's ru_maxrss). `device_bytes`: per GPU, such as `GPU:0`, the
        peak of TensorFlow's allocator; empty without a GPU.
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
    """What limits the speed of a run, in one clause.

    Args:
        input_wait: fraction (0..1) of the time spent waiting for input.
        cached: whether the input is read from the feature cache, or decoded from records.
    """
    reading = "reading cached features" if cached else "input (decoding records)"
    by = "compute" if input_wait < INPUT_BOUND else reading
    return f"bound by {by}: {100 * input_wait:.0f} % of the time spent waiting for input"


class Scalars:
    """Writes a history as TensorBoard scalars, into a new event file in a directory. A context manager."""

    def __init__(self, directory: str) -> None:
        """Take the directory, which need not exist; the file is created on entering."""
        self._directory = directory

    def __enter__(self) -> Scalars:
        import tensorflow as tf

        self._writer = tf.summary.create_file_writer(self._directory)
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, row: EpochRow) -> None:
        """Write every number of a history row at step `epoch`, and flush.

        `validation_loss` becomes `validation/loss`, `loss` becomes `train/loss`, and so on.
        """
        import tensorflow as tf

        # tf.summary.scalar needs the tensorboard package, which only readers of the file need.
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
