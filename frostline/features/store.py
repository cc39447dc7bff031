"""What runs can make again: features, one directory or prefix of packs per content address, and finished trainings; and
what is removed when a store is full."""

from __future__ import annotations

from collections.abc import Collection

from frostline import storage
from frostline.events import say
from frostline.features.sidecars import DIGEST
from frostline.features.usage import last_used
from frostline.text import size_words

_FIRST = ".json"  # is removed before all else of an address: sidecars and certificates say that the rest exists
FEATURES, TRAININGS = "features", "trainings"  # below the root of a store
MOST_TRAININGS = 10  # each is twice the weights, and one that is not among the latest is seldom done again


def root_of(store: str, address: str) -> str:
    """The directory or prefix of an address's packs."""
    return storage.join(store, FEATURES, address)


def size(store: str) -> int:
    """Bytes of all features in a store."""
    return sum(item.size for item in storage.list_files(storage.join(store, FEATURES)))


def evict(store: str, limit_bytes: int, keep: Collection[str]) -> list[tuple[str, int]]:
    """Remove the least recently used finished trainings beyond MOST_TRAININGS, and of all what exceeds a limit.

    Another run may be reading one: it keeps what it has open, and computes again what it misses.

    Each removal is told.

    Args:
        store: root of the store, a directory or gs://.
        limit_bytes: of all together.
        keep: addresses that are never removed.

    Returns:
        Each address that was removed, and its bytes.
    """
    by_place: dict[tuple[str, str], list[storage.Stat]] = {}
    for folder in (FEATURES, TRAININGS):
        root = storage.join(store, folder)
        for item in storage.list_files(root):
            by_place.setdefault((folder, item.uri.removeprefix(f"{root}/").split("/")[0]), []).append(item)
    total = sum(item.size for items in by_place.values() for item in items)
    ours = [place for place in by_place if DIGEST.fullmatch(place[1]) and place[1] not in keep]  # runs write no others
    too_many = sum(folder == TRAININGS for folder, _ in by_place) - MOST_TRAININGS
    removed = []
    for folder, address in sorted(ours, key=lambda place: (last_used(storage.join(store, *place)), place)):
        surplus = folder == TRAININGS and too_many > 0
        if total <= limit_bytes and not surplus:
            continue
        too_many -= surplus
        items = by_place[folder, address]
        for item in sorted(items, key=lambda one: not one.uri.endswith(_FIRST)):
            storage.delete(item.uri)
        freed = sum(item.size for item in items)
        total -= freed
        removed.append((address, freed))
        reason = f"keep at most {MOST_TRAININGS}" if surplus else f"stay within {limit_bytes / 1e9:g} GB"
        say(f"removed {folder}/{address[:12]} ({size_words(freed)}) to {reason}")
    return removed
