"""Latency of the exported model, measured by its caller."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from frostline.documents.evaluation import Latency, LatencyRow
from frostline.model.serving import Served

BATCHES = (1, 32)  # images per call
_WARM_UP = 2  # calls that are not counted: the first ones allocate memory and plan
_FEWEST, _MOST = 5, 100  # calls
_SECONDS = 2.0  # per batch size, unless the fewest calls take longer


def time_calls(served: Served, images: Sequence[bytes]) -> Latency:
    """Call the model with one image and with many, one call after the other, taking the images in turn.

    Args:
        served: the model.
        images: encoded, at least one.

    Returns:
        {latency: [{batch, p50, p95, p99 (milliseconds), calls}], throughput (images/s at the largest batch, from its
        median)}.
    """
    rows = [_time_batch(served, images, batch) for batch in BATCHES]
    return {"latency": rows, "throughput": 1000.0 * BATCHES[-1] / rows[-1]["p50"]}


def size_bytes(directory: Path) -> int:
    """Total size of all files of a SavedModel, in bytes."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _time_batch(served: Served, images: Sequence[bytes], batch: int) -> LatencyRow:
    taken: list[float] = []
    first = time.perf_counter()
    for number in range(_WARM_UP + _MOST):
        data = [images[(number * batch + place) % len(images)] for place in range(batch)]
        started = time.perf_counter()
        served.predict(data)
        ended = time.perf_counter()
        if number >= _WARM_UP:
            taken.append(1000.0 * (ended - started))
        if len(taken) >= _FEWEST and ended - first > _SECONDS:
            break
    p50, p95, p99 = (float(value) for value in np.percentile(taken, (50, 95, 99)))
    return {"batch": batch, "p50": p50, "p95": p95, "p99": p99, "calls": len(taken)}
