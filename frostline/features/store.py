"""The store of features: one directory or prefix of packs per content address, and what is removed when it is full."""

from __future__ import annotations

from collections.abc import Collection

from frostline import storage
from frostline.features.sidecars import DIGEST
from frostline.features.usage import last_used


def root_of(store: str, address: str) -> str:
    """The directory or prefix of an address's packs."""
    return storage.join(store, "features", address)


def size(store: str) -> int:
    """Bytes of all features in a store."""
    return sum(item.size for item in storage.list_files(storage.join(store, "features")))


def evict(store: str, limit_bytes: int, keep: Collection[str]) -> list[tuple[str, int]]:
    """Remove the least recently used addresses until the features of a store fit a limit.

    Another run may be reading one: it keeps what it has open, and computes again what it misses.

    Args:
        store: root of the store, a directory or gs://.
        limit_bytes: of all features together.
        keep: addresses that are never removed.

    Returns:
        Each address that was removed, and its bytes.
    """
    root = storage.join(store, "features")
    by_address: dict[str, list[storage.Stat]] = {}
    for item in storage.list_files(root):
        by_address.setdefault(item.uri.removeprefix(f"{root}/").split("/")[0], []).append(item)
    total = sum(item.size for items in by_address.values() for item in items)
    ours = {address for address in by_address if DIGEST.fullmatch(address)}  # runs write no other names
    removed = []
    for address in sorted(ours - set(keep), key=lambda one: (last_used(storage.join(root, one)), one)):
        if total <= limit_bytes:
            break
        items = by_address[address]
        for item in sorted(items, key=lambda one: one.uri.endswith(".bin")):  # sidecars first: they say that rows exist
            storage.delete(item.uri)
        freed = sum(item.size for item in items)
        total -= freed
        removed.append((address, freed))
    return removed
