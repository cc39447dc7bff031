"""The examples of one split, in the order of their records, each readable by its position.

The state files list what preprocessing wrote, and the framing of a TFRecord file gives the offset of each record. So a
batch is a function of positions alone: any order, from any step, without reading the records before it.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from frostline import storage
from frostline.data import shards as shard_files
from frostline.data import splits
from frostline.data.records import is_of
from frostline.errors import DataError, NotFound

_HEADER = struct.Struct("<QI")  # starts a TFRecord: length of the data, and a checksum of the length
_CHECKSUM = struct.Struct("<I")
_REMEDY = "remove the directory and run the pipeline again"


@dataclass(frozen=True)
class Examples:
    """The examples of one split. `close` closes the files.

    Attributes:
        origin: address of the records, for messages.
        ids: SHA-256 of each example's original bytes, hexadecimal.
        labels: [n] int64, class indexes.
        files: address and number of examples of each record file.
        scratch: directory to which files of a bucket are downloaded when they are first read.
    """

    origin: str
    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    files: tuple[tuple[str, int], ...]
    scratch: Path
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _places: list[tuple[int, int, int]] = field(default_factory=list, repr=False)  # (descriptor, offset, length)
    _descriptors: list[int] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def digest(self) -> str:
        """Digest of which images there are, and of their labels; see `splits.digest`."""
        return splits.digest(zip(self.ids, self.labels.tolist(), strict=True))

    def keys(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """A number for each example: the first 64 bits of its id, so a function of its original bytes.

        Args:
            positions: [n] int64.

        Returns:
            [n] int64.
        """
        heads = b"".join(bytes.fromhex(self.ids[position][:16]) for position in positions)
        return np.frombuffer(heads, ">i8").astype(np.int64)

    def read(self, positions: NDArray[np.int64]) -> list[bytes]:
        """Read the serialized records at these positions. Safe to call from several threads.

        Args:
            positions: [n] int64.

        Raises:
            DataError: a record is damaged or has another image or label than its state says, or a file is missing or
                has another number of records.
            StorageError: a file cannot be read or downloaded.
        """
        self._open()
        return [self._record(int(position)) for position in positions]

    def _open(self) -> None:
        with self._lock:
            if self._places:
                return
            places: list[tuple[int, int, int]] = []
            for uri, count in self.files:
                try:
                    path = storage.localize(uri, self.scratch)
                except NotFound:
                    raise DataError(f"{uri}: is missing; run the pipeline again to write it") from None
                descriptor = os.open(path, os.O_RDONLY)
                self._descriptors.append(descriptor)
                found = [(descriptor, offset, length) for offset, length in _frames(descriptor, str(path))]
                if len(found) != count:
                    raise DataError(f"{path}: contains {len(found)} examples; preprocessing wrote {count}")
                places += found
            self._places.extend(places)

    def _record(self, position: int) -> bytes:
        descriptor, offset, length = self._places[position]
        record = os.pread(descriptor, length, offset)
        checksum = os.pread(descriptor, _CHECKSUM.size, offset + length)  # apart, so that the record is not copied
        identifier = self.ids[position]
        if len(record) < length or checksum != _CHECKSUM.pack(_masked_crc(record)):
            raise DataError(f"{self.origin}: the record of example {identifier} is damaged; {_REMEDY}")
        if not is_of(record, identifier, int(self.labels[position])):
            found = f"the record of example {identifier} is of another image, or has another label"
            raise DataError(f"{self.origin}: {found}; {_REMEDY}")
        return record

    def close(self) -> None:
        """Close the files; the next read opens them again."""
        with self._lock:
            self._places.clear()
            while self._descriptors:
                os.close(self._descriptors.pop())


def load(records: str, split: str, scratch: Path, shards: Sequence[str] | None = None) -> Examples:
    """Find the examples of a split; the record files are opened at the first read.

    Args:
        records: address of the records, a directory or gs://.
        split: train, validation or test.
        scratch: directory to which files of a bucket may be downloaded.
        shards: names of the shards to read, `SSSSS-of-NNNNN`; None reads all.

    Raises:
        DataError: the state file of a shard is missing or cannot be used.
        StorageError: the records cannot be listed or read.
    """
    ids: list[str] = []
    labels: list[int] = []
    files: list[tuple[str, int]] = []
    for shard in shard_files.with_state(records) if shards is None else sorted(shards):
        state = shard_files.read_state(records, shard)
        rows = [row for row in state["index"] if row["split"] == split]
        ids += [row["sha256"] for row in rows]
        labels += [row["label"] for row in rows]
        files += [
            (storage.join(records, name), entry["examples"])
            for name, entry in state["files"].items()
            if entry["split"] == split
        ]
    return Examples(records, tuple(ids), np.array(labels, np.int64), tuple(files), scratch)


def _frames(descriptor: int, path: str) -> Iterator[tuple[int, int]]:
    """Yield offset and length, in bytes, of each record's data in a TFRecord file.

    Source of the format: "TFRecords format details", TensorFlow's guide to TFRecord and tf.train.Example.
    """
    at, end = 0, os.fstat(descriptor).st_size
    while at < end:
        header = os.pread(descriptor, _HEADER.size, at)
        length, checksum = _HEADER.unpack(header) if len(header) == _HEADER.size else (0, -1)
        following = at + _HEADER.size + length + _CHECKSUM.size
        if _masked_crc(header[:8]) != checksum or following > end:
            raise DataError(f"{path}: is damaged at byte {at}; {_REMEDY}")
        yield at + _HEADER.size, length
        at = following


def _masked_crc(data: bytes) -> int:
    """CRC32C as a TFRecord stores it: rotated right by 15 bits, plus a constant."""
    checksum = google_crc32c.value(data)
    return int((((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
