"""The store of frozen-prefix features: immutable packs under a content address, on a directory or gs://.

A pack is two objects: PACK.bin, the rows' raw bytes one after the other, and PACK.json, written last, which names the
images and has a digest of each row. Without its sidecar a pack does not exist. PACK is the digest of the images' ids
in order, so that two runs which compute the same rows at once write the same name. What is damaged counts as not
there: it is computed again, and never an error.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import tempfile
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from frostline import artifacts, digests, storage
from frostline.artifacts import Json
from frostline.errors import DataError, NotFound, PreconditionFailed

_DTYPES: dict[str, Any] = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_USED = "used.json"
_CHECKERS = 4  # threads that hash packs


@dataclass(frozen=True)
class Layout:
    """What one row is: its shape, and its type: float32, float16 or bfloat16."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def numpy_dtype(self) -> Any:
        """The type as NumPy knows it."""
        return np.dtype(_DTYPES[self.dtype])

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.shape, dtype=np.int64)) * int(self.numpy_dtype.itemsize)


def root_of(store: str, address: str) -> str:
    """Where the packs of an address are."""
    return storage.join(store, "features", address)


class Writer:
    """Writes packs, each as soon as it is full, so that a run that is killed loses no more than one."""

    def __init__(self, root: str, layout: Layout, *, pack_bytes: int = 64_000_000) -> None:
        """Take the place; nothing is written yet.

        Args:
            root: of the packs, see `root_of`.
            layout: of each row.
            pack_bytes: of rows in a pack, before it is finished.
        """
        self._root, self._layout, self._limit = root, layout, pack_bytes
        self.packs: list[str] = []

    def __enter__(self) -> Writer:
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._file.close()

    def add(self, ids: Sequence[str], rows: NDArray[Any]) -> None:
        """Add rows, [n, *shape], cast to the stored type.

        Raises:
            DataError: the rows have another shape.
            StorageError: a full pack cannot be written.
        """
        if rows.shape[1:] != self._layout.shape:
            raise DataError(f"features: received rows of the shape {rows.shape[1:]}; expected {self._layout.shape}")
        for identifier, row in zip(ids, rows.astype(self._layout.numpy_dtype), strict=True):
            data = np.ascontiguousarray(row).tobytes()
            self._file.write(data)
            self._ids.append(identifier)
            self._digests.append(hashlib.sha256(data).hexdigest())
            if len(self._ids) * self._layout.row_bytes >= self._limit:
                self._finish()

    def _begin(self) -> None:
        """A new file for each pack: the store may keep the old one, by a hard link."""
        self._ids: list[str] = []
        self._digests: list[str] = []
        self._file = tempfile.NamedTemporaryFile(prefix="frostline-features-")  # noqa: SIM115  (closed on leaving)
        os.fchmod(self._file.fileno(), 0o644)

    def _finish(self) -> None:
        if not self._ids:
            return
        self._file.flush()
        name = digests.of_json(self._ids)
        sidecar = {**_described(self._layout), "ids": self._ids, "digests": self._digests}
        encoded = artifacts.encode("feature_pack", {**sidecar, "seal": digests.of_json(sidecar)})
        _put(self._root, name, Path(self._file.name), encoded, self._layout)
        self.packs.append(name)
        self._file.close()
        self._begin()


def _put(root: str, name: str, rows: Path, sidecar: bytes, layout: Layout) -> None:
    """Store a pack; an intact one of that name stays as it is, whatever its bits, a damaged one is replaced."""
    data_uri, sidecar_uri = storage.join(root, f"{name}.bin"), storage.join(root, f"{name}.json")
    touch(root)  # what is being written must not look like what nobody ever used
    try:
        storage.upload_file(rows, data_uri, if_generation=storage.ABSENT)
    except PreconditionFailed:
        if _intact(root, name, layout):
            return
        storage.upload_file(rows, data_uri)
    try:
        storage.write_bytes(sidecar_uri, sidecar, if_generation=storage.ABSENT)
    except PreconditionFailed:
        if not _intact(root, name, layout):
            storage.write_bytes(sidecar_uri, sidecar)


def _intact(root: str, name: str, layout: Layout) -> bool:
    with (
        tempfile.TemporaryDirectory(prefix="frostline-features-") as scratch,
        Reader(root, [name], layout, Path(scratch)) as reader,
    ):
        return reader.damaged == 0


def packs(root: str) -> list[str]:
    """Names of the packs that have a sidecar and rows, sorted."""
    return sorted(_sizes(root))


def _sizes(root: str) -> dict[str, int]:
    """For each pack that has both files, the bytes of its rows; from one listing, since other runs add packs."""
    sizes = {item.uri.rpartition("/")[2]: item.size for item in storage.list_files(root)}
    found = (name.removesuffix(".json") for name in sizes if name.endswith(".json"))
    return {name: sizes[f"{name}.bin"] for name in found if _DIGEST.fullmatch(name) and f"{name}.bin" in sizes}


def listed(root: str, layout: Layout) -> dict[str, list[str]]:
    """For each image that a whole pack names, all packs that do; rows are not read.

    A damaged row is in another pack as well, once it has been computed again. A pack whose rows have not the size that
    its sidecar tells is left out.
    """
    found: dict[str, list[str]] = {}
    for name, size in sorted(_sizes(root).items()):
        sidecar = _sidecar(root, name, layout)
        if sidecar is not None and size == len(sidecar["ids"]) * layout.row_bytes:
            for identifier in sidecar["ids"]:
                found.setdefault(identifier, []).append(name)
    return found


@dataclass(frozen=True)
class Place:
    """Where a row is: the open file, its position there, and its digest."""

    descriptor: int
    row: int
    digest: str


class Reader:
    """Packs, opened and checked row by row; a context manager. Rows are read with pread, so memory stays flat."""

    def __init__(self, root: str, names: Sequence[str] | None, layout: Layout, scratch: Path) -> None:
        """Open packs and check every row's digest, once.

        Args:
            root: of the packs.
            names: which; None for all that are there.
            layout: of each row.
            scratch: where packs of a bucket are downloaded to.
        """
        self._root, self._layout, self._scratch = root, layout, scratch
        self._descriptors: list[int] = []
        self._lock = threading.Lock()
        self.damaged = 0
        self.ids: dict[str, Place] = {}
        chosen = sorted(set(packs(root) if names is None else names))
        with ThreadPoolExecutor(_CHECKERS) as pool:
            for places in pool.map(self._open, chosen):
                for identifier, place in places.items():
                    self.ids.setdefault(identifier, place)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    @property
    def digest(self) -> str:
        """One digest of all intact rows: two readers with the same one give the same bits."""
        return digests.of_json({identifier: place.digest for identifier, place in self.ids.items()})

    def read(self, ids: Sequence[str]) -> NDArray[Any]:
        """Rows by id: [len(ids), *shape] of the stored type. Safe to call from several threads.

        Raises:
            DataError: there is no such row, or its file ended since it was checked.
        """
        size = self._layout.row_bytes
        out = np.empty((len(ids), size), np.uint8)
        for index, identifier in enumerate(ids):
            place = self.ids.get(identifier)
            if place is None or os.preadv(place.descriptor, [out[index].data], place.row * size) != size:
                raise DataError(f"{self._root}: has no features of the image {identifier}")
        rows: NDArray[Any] = out.view(self._layout.numpy_dtype).reshape(len(ids), *self._layout.shape)
        return rows

    def _open(self, name: str) -> Mapping[str, Place]:
        sidecar = _sidecar(self._root, name, self._layout) if _DIGEST.fullmatch(name) else None
        try:
            path = storage.localize(storage.join(self._root, f"{name}.bin"), self._scratch) if sidecar else None
            descriptor = os.open(path, os.O_RDONLY) if path and path.is_file() else -1
        except (NotFound, FileNotFoundError):
            descriptor = -1
        if sidecar is None or descriptor < 0:
            with self._lock:
                self.damaged += 1
            return {}
        with self._lock:
            self._descriptors.append(descriptor)
        return self._check(descriptor, sidecar)

    def _check(self, descriptor: int, sidecar: Json) -> Mapping[str, Place]:
        size, intact = self._layout.row_bytes, {}
        for row, (identifier, digest) in enumerate(zip(sidecar["ids"], sidecar["digests"], strict=True)):
            if hashlib.sha256(os.pread(descriptor, size, row * size)).hexdigest() == digest:
                intact[identifier] = Place(descriptor, row, digest)
        with self._lock:
            self.damaged += len(sidecar["ids"]) - len(intact)
        return intact


def _described(layout: Layout) -> Json:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(layout).items()}


def _sidecar(root: str, name: str, layout: Layout) -> Json | None:
    """A pack's sidecar, if every byte of it is as it was written; what it says comes from a store that others write."""
    uri = storage.join(root, f"{name}.json")
    try:
        data = storage.read_bytes(uri)
        found = artifacts.parse_json(data, uri)
        content = {key: value for key, value in found.items() if key not in ("schema", "seal")}
        expected = artifacts.encode("feature_pack", {**content, "seal": digests.of_json(content)})
    except (NotFound, DataError, ValueError, RecursionError):  # not JSON, not UTF-8, nested without end
        return None
    if data != expected or set(content) != {"shape", "dtype", "ids", "digests"}:
        return None
    ids, checks = content["ids"], content["digests"]
    if {key: content[key] for key in ("shape", "dtype")} != _described(layout) or not _all_digests(ids, checks):
        return None
    return content if digests.of_json(ids) == name else None


def _all_digests(*lists: Any) -> bool:
    texts = [text for one in lists for text in (one if isinstance(one, list) else [None])]
    return all(isinstance(text, str) and _DIGEST.fullmatch(text) for text in texts) and len({*map(len, lists)}) == 1


def touch(root: str) -> None:
    """Mark an address as used now."""
    storage.write_bytes(storage.join(root, _USED), digests.canonical_json({"time": time.time()}))


def size(store: str) -> int:
    """Bytes of all features in a store."""
    return sum(item.size for item in storage.list_files(storage.join(store, "features")))


def evict(store: str, limit_bytes: int, keep: Collection[str]) -> list[tuple[str, int]]:
    """Remove the least recently used addresses until the features of a store fit a limit.

    Another run may be reading one: what it has open it keeps, and what it misses it computes again.

    Args:
        store: root of the heavy bytes.
        limit_bytes: of all features together.
        keep: addresses that stay in any case.

    Returns:
        Each address that was removed, and its bytes.
    """
    root = storage.join(store, "features")
    by_address: dict[str, list[storage.Stat]] = {}
    for item in storage.list_files(root):
        by_address.setdefault(item.uri.removeprefix(f"{root}/").split("/")[0], []).append(item)
    total = sum(item.size for items in by_address.values() for item in items)
    ours = {address for address in by_address if _DIGEST.fullmatch(address)}  # nothing else was put there by a run
    removed = []
    for address in sorted(ours - set(keep), key=lambda one: (_last_used(root, one), one)):
        if total <= limit_bytes:
            break
        items = by_address[address]
        for item in sorted(items, key=lambda one: one.uri.endswith(".bin")):  # first what says that rows exist
            storage.delete(item.uri)
        freed = sum(item.size for item in items)
        total -= freed
        removed.append((address, freed))
    return removed


def _last_used(root: str, address: str) -> float:
    try:
        uri = storage.join(root, address, _USED)
        used = float(artifacts.parse_json(storage.read_bytes(uri), uri)["time"])
    except (NotFound, DataError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return 0.0
    return used if math.isfinite(used) else 0.0
