"""When the features of an address were last used: one small object beside the packs, by which eviction goes."""

from __future__ import annotations

import contextlib
import math
import time

from frostline import artifacts, digests, storage
from frostline.errors import DataError, NotFound, NotRegular, StorageError

USED = "used.json"
TOUCH_SECONDS = 600  # between two marks of use, so eviction knows the order of use to about this


def touch(root: str) -> None:
    """Mark the address of these packs as used now, unless that was done in the last TOUCH_SECONDS.

    All pods of a run mark the same object at once, and a bucket takes one write per second of it. So each looks first,
    and where another one is faster, or the mark cannot be written, the earlier mark is good enough: it only orders
    evictions.
    """
    uri, now = storage.join(root, USED), time.time()
    with contextlib.suppress(StorageError):
        current = storage.stat(uri)
        if current is None or abs(now - last_used(root)) >= TOUCH_SECONDS:
            generation = storage.ABSENT if current is None else current.generation
            storage.write_bytes(uri, digests.canonical_json({"time": now}), if_generation=generation)


def last_used(root: str) -> float:
    """When the address of these packs was last marked as used, in seconds since 1970; 0 if no mark can be read."""
    try:
        uri = storage.join(root, USED)
        used = float(artifacts.parse_json(storage.read_bytes(uri), uri)["time"])
    except (NotFound, NotRegular, DataError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return 0.0
    return used if math.isfinite(used) else 0.0
