"""Packs of features: immutable files of rows, in a directory or on gs://.

A pack is two objects: PACK.bin, the raw bytes of its rows in order, and PACK.json, written last, which names the images
and has a digest of each row. Without this sidecar the pack does not exist. PACK is the digest of the images' ids in
order, so two runs that compute the same rows at the same time write the same name. Damaged rows count as missing: they
are computed again, and never an error.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from frostline import digests, storage
from frostline.documents.features import FEATURE_PACK, FeaturePack
from frostline.errors import DataError, NotFound, NotRegular, PreconditionFailed
from frostline.features import sidecars
from frostline.features.sidecars import DIGEST, Layout
from frostline.features.usage import touch

_CHECKERS = 4  # threads that hash packs


class Writer:
    """Writes packs, each as soon as it is full, so that a killed run loses at most one."""

    def __init__(self, root: str, layout: Layout, *, computed_on: str, pack_bytes: int = 64_000_000) -> None:
        """Take the place; nothing is written yet.

        Args:
            root: directory or prefix of the packs.
            layout: of each row.
            computed_on: kind of the device that computes the rows, see `frostline.model.arithmetic.device_kind`.
            pack_bytes: size of a full pack, in bytes.
        """
        self._root, self._layout, self._limit = root, layout, pack_bytes
        self._computed_on = computed_on
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
        """Add rows, [n, *shape], converted to the stored type.

        Raises:
            DataError: the rows have another shape.
            StorageError: a full pack cannot be written.
        """
        if rows.shape[1:] != self._layout.shape:
            raise DataError(f"features: received rows of shape {rows.shape[1:]}; expected {self._layout.shape}")
        stored = np.ascontiguousarray(rows, self._layout.numpy_dtype).reshape(len(rows), -1).view(np.uint8)
        for identifier, row in zip(ids, stored, strict=True):
            self._file.write(row.data)
            self._ids.append(identifier)
            self._digests.append(hashlib.sha256(row.data).hexdigest())
            if len(self._ids) * self._layout.row_bytes >= self._limit:
                self._finish()

    def _begin(self) -> None:
        """Open a new file for each pack: the store may keep the old one, as a hard link."""
        self._ids: list[str] = []
        self._digests: list[str] = []
        self._file = tempfile.NamedTemporaryFile(prefix="frostline-features-")  # noqa: SIM115  (closed on leaving)
        os.fchmod(self._file.fileno(), 0o644)

    def _finish(self) -> None:
        if not self._ids:
            return
        self._file.flush()
        name = digests.of_json(self._ids)
        sidecar = FEATURE_PACK.encode(sidecars.sealed(self._layout, self._ids, self._digests, self._computed_on))
        _put(self._root, name, Path(self._file.name), sidecar, self._layout)
        self.packs.append(name)
        self._file.close()
        self._begin()


def _put(root: str, name: str, rows: Path, sidecar: bytes, layout: Layout) -> None:
    """Store a pack; an intact pack of that name is kept, whatever its bits, a damaged one is replaced."""
    data_uri, sidecar_uri = storage.join(root, f"{name}.bin"), storage.join(root, f"{name}.json")
    touch(root)  # before anything is written, so that no eviction takes it for unused
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


def names(root: str) -> list[str]:
    """Names of the packs that have a sidecar and rows, sorted."""
    return sorted(_sizes(root))


def _sizes(root: str) -> dict[str, int]:
    """Bytes of rows per complete pack, from a single listing, since other runs add packs."""
    sizes = {item.uri.rpartition("/")[2]: item.size for item in storage.list_files(root)}
    found = (name.removesuffix(".json") for name in sizes if name.endswith(".json"))
    return {name: sizes[f"{name}.bin"] for name in found if DIGEST.fullmatch(name) and f"{name}.bin" in sizes}


def names_by_image(root: str, layout: Layout) -> dict[str, list[str]]:
    """The packs that contain each image, by its id; rows are not read.

    Once a damaged row has been computed again, it is in another pack as well. A pack whose rows do not have the size
    that its sidecar says is left out.
    """
    found: dict[str, list[str]] = {}
    for name, size in sorted(_sizes(root).items()):
        sidecar = sidecars.read(root, name, layout)
        if sidecar is not None and size == len(sidecar["ids"]) * layout.row_bytes:
            for identifier in sidecar["ids"]:
                found.setdefault(identifier, []).append(name)
    return found


class Place(NamedTuple):
    """Where a row is: an open file, the byte at which it begins there, and its digest."""

    descriptor: int
    offset: int
    digest: str


class Reader:
    """Packs, opened and checked row by row; a context manager. Rows are read with pread, so memory use is flat."""

    def __init__(self, root: str, chosen: Sequence[str] | None, layout: Layout, scratch: Path) -> None:
        """Open packs and check the digest of every row, once.

        Args:
            root: directory or prefix of the packs.
            chosen: names of the packs to open; None for all.
            layout: of each row.
            scratch: directory for packs that are downloaded from a bucket.
        """
        self._root, self._layout, self._scratch = root, layout, scratch
        self._descriptors: list[int] = []
        self._lock = threading.Lock()
        self.damaged = 0
        self.devices: set[str] = set()  # the kinds of the devices that computed the rows
        self.ids: dict[str, Place] = {}
        self.add(names(root) if chosen is None else chosen)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, chosen: Sequence[str]) -> None:
        """Open further packs and check the digest of every row; rows that are open stay as they are."""
        with ThreadPoolExecutor(_CHECKERS) as pool:
            for places in pool.map(self._open, sorted(set(chosen))):
                for identifier, place in places.items():
                    self.ids.setdefault(identifier, place)

    def close(self) -> None:
        """Close the files."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    @property
    def digest(self) -> str:
        """Digest of all intact rows: readers with equal digests return equal bits."""
        return digests.of_json({identifier: place.digest for identifier, place in self.ids.items()})

    def read(self, ids: Sequence[str]) -> NDArray[Any]:
        """Rows by id, [len(ids), *shape] of the stored type. Safe to call from several threads.

        Raises:
            DataError: there is no such row, or its file was truncated since it was checked.
        """
        return self.read_at(self.locate(ids))

    def locate(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Where rows are, [len(ids), 2] int64, for `read_at`.

        Raises:
            DataError: there is no such row.
        """
        missing = next((one for one in ids if one not in self.ids), None)
        if missing is not None:
            raise self._no_features(missing)
        return np.array([self.ids[one][:2] for one in ids], np.int64).reshape(-1, 2)

    def read_at(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """Rows at places that `locate` found, [len(places), *shape] of the stored type. Safe to call from any thread.

        Raises:
            DataError: a row's file was truncated since it was checked.
        """
        size = self._layout.row_bytes
        out = np.empty(len(places) * size, np.uint8)
        target = out.data
        for index, (descriptor, offset) in enumerate(places.tolist()):
            start = index * size
            if os.preadv(descriptor, (target[start : start + size],), offset) != size:
                raise self._no_features(next(one for one in self.ids if self.ids[one][:2] == (descriptor, offset)))
        rows: NDArray[Any] = out.view(self._layout.numpy_dtype).reshape(len(places), *self._layout.shape)
        return rows

    def _no_features(self, identifier: str) -> DataError:
        return DataError(f"{self._root}: has no features of the image {identifier}")

    def _open(self, name: str) -> Mapping[str, Place]:
        sidecar = sidecars.read(self._root, name, self._layout) if DIGEST.fullmatch(name) else None
        try:
            path = storage.localize(storage.join(self._root, f"{name}.bin"), self._scratch) if sidecar else None
            descriptor = os.open(path, os.O_RDONLY) if path and path.is_file() else -1
        except (NotFound, NotRegular, FileNotFoundError):
            descriptor = -1
        if sidecar is None or descriptor < 0:
            with self._lock:
                self.damaged += 1
            return {}
        with self._lock:
            self._descriptors.append(descriptor)
            self.devices.add(sidecar["computed_on"])
        return self._check(descriptor, sidecar)

    def _check(self, descriptor: int, sidecar: FeaturePack) -> Mapping[str, Place]:
        size, intact = self._layout.row_bytes, {}
        for row, (identifier, digest) in enumerate(zip(sidecar["ids"], sidecar["digests"], strict=True)):
            if hashlib.sha256(os.pread(descriptor, size, row * size)).hexdigest() == digest:
                intact[identifier] = Place(descriptor, row * size, digest)
        with self._lock:
            self.damaged += len(sidecar["ids"]) - len(intact)
        return intact
