"""Latency of the exported model, measured by its caller."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frostline.documents.evaluation import Latency, LatencyRow
from frostline.model.serving import Served

BATCHES = (1, 32)  # images per call
_MOST = 100  # calls of each batch size that are counted
_SECONDS = 0.5  # for further calls of each batch size


class Timer:
    """Times calls of a model: those that its evaluation makes anyway, and a few more.

    Attributes:
        served: the model.
    """

    def __init__(self, served: Served) -> None:
        self.served = served
        self._taken: dict[int, list[float]] = {batch: [] for batch in BATCHES}

    def predict(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """As `Served.predict`; the time counts if the number of images is that of a batch size."""
        started = time.perf_counter()
        probabilities = self.served.predict(images)
        taken = 1000.0 * (time.perf_counter() - started)
        self._taken.get(len(images), []).append(taken)
        return probabilities

    def measure(self, images: Sequence[bytes]) -> Latency:
        """Call the model with one image and with many, one call after the other, taking the images in turn.

        The first call of each batch size allocates memory and plans; it counts only if there is no other. All calls
        after these take at most 1 s.

        Args:
            images: encoded, at least one.

        Returns:
            {latency: [{batch, p50, p95, p99 (milliseconds), calls}], throughput (images/s at the largest batch, from
            its median)}.
        """
        rows = [self._measure(images, batch) for batch in BATCHES]
        return {"latency": rows, "throughput": 1000.0 * BATCHES[-1] / rows[-1]["p50"]}

    def _measure(self, images: Sequence[bytes], batch: int) -> LatencyRow:
        taken = self._taken[batch]

        def call() -> None:
            first = len(taken) * batch
            self.predict([images[(first + place) % len(images)] for place in range(batch)])

        if not taken:
            call()
        until = time.perf_counter() + _SECONDS
        while len(taken) <= _MOST and time.perf_counter() + taken[-1] / 1000.0 <= until:
            call()
        counted = taken[1:] or taken
        p50, p95, p99 = (float(value) for value in np.percentile(counted, (50, 95, 99)))
        return {"batch": batch, "p50": p50, "p95": p95, "p99": p99, "calls": len(counted)}


def size_bytes(directory: Path) -> int:
    """Total size of all files of a SavedModel, in bytes."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
