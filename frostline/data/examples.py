"""The examples of one split, in the order of their records, each readable by its position.

What preprocessing wrote is told by its state files; where a record lies in its file, by the file's own framing. So a
batch is a function of positions alone: any order, resumed at any step, needs no pass over what comes before.
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

from frostline import artifacts, storage
from frostline.artifacts import Json
from frostline.errors import DataError, NotFound

_HEADER = struct.Struct("<QI")  # of a TFRecord: length of the data, and a checksum of the length
_CHECKSUM = struct.Struct("<I")


def state_name(shard: str) -> str:
    """Name of the file, beside the records, that tells what preprocessing wrote of a shard, in order."""
    return f"shard-{shard}.json"


@dataclass(frozen=True)
class Examples:
    """One split's examples; close it to close its files.

    Attributes:
        origin: the records' address, for messages.
        ids: SHA-256 of each example's original bytes, hexadecimal.
        labels: [n] int64, class indexes.
        files: address of each record file, and how many examples it holds.
        scratch: where files of a bucket are downloaded to, when they are first read.
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

    def keys(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """A number for each example that depends on its bytes alone: the first 64 bits of its id."""
        heads = b"".join(bytes.fromhex(self.ids[position][:16]) for position in positions)
        return np.frombuffer(heads, ">i8").astype(np.int64)

    def read(self, positions: NDArray[np.int64]) -> list[bytes]:
        """The serialized records at these positions. Safe to call from several threads.

        Raises:
            DataError: a record is not as it was written, or a file holds other records than preprocessing says.
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
                    raise DataError(f"{uri}: is missing; run the pipeline again, which writes it again") from None
                descriptor = os.open(path, os.O_RDONLY)
                self._descriptors.append(descriptor)
                found = [(descriptor, offset, length) for offset, length in _frames(descriptor, str(path))]
                if len(found) != count:
                    raise DataError(f"{path}: holds {len(found)} examples; preprocessing wrote {count}")
                places += found
            self._places.extend(places)

    def _record(self, position: int) -> bytes:
        descriptor, offset, length = self._places[position]
        data = os.pread(descriptor, length + _CHECKSUM.size, offset)
        record, identifier = data[:length], self.ids[position]
        whole = len(data) == length + _CHECKSUM.size and _masked(record) == _CHECKSUM.unpack(data[length:])[0]
        if not whole or identifier.encode() not in record:  # the id that a record holds is its first field
            raise DataError(f"{self.origin}: the record of example {identifier} is damaged; remove the directory")
        return record

    def close(self) -> None:
        """Close the files; reading opens them again."""
        with self._lock:
            self._places.clear()
            while self._descriptors:
                os.close(self._descriptors.pop())


def load(records: str, split: str, scratch: Path, shards: Sequence[str] | None = None) -> Examples:
    """The examples of a split; their files are opened when the first of them is read.

    Args:
        records: address of the records, a directory or gs://.
        split: train, validation or test.
        scratch: where files of a bucket may be downloaded to.
        shards: names of the shards to take, `SSSSS-of-NNNNN`; None for all that are there.

    Raises:
        DataError: a shard's state file is missing or not one.
    """
    if shards is None:
        names = [item.uri.rpartition("/")[2] for item in storage.list_files(records)]
        shards = [name.removeprefix("shard-").removesuffix(".json") for name in names if _is_state(name)]
    ids: list[str] = []
    labels: list[int] = []
    files = []
    for shard in sorted(shards):
        state = _state(storage.join(records, state_name(shard)))
        rows = [row for row in state["index"] if row["split"] == split]
        ids += [row["sha256"] for row in rows]
        labels += [row["label"] for row in rows]
        files += [
            (storage.join(records, name), entry["examples"])
            for name, entry in state["files"].items()
            if entry["split"] == split
        ]
    return Examples(records, tuple(ids), np.array(labels, np.int64), tuple(files), scratch)


def _is_state(name: str) -> bool:
    return name.startswith("shard-") and name.endswith(".json")


def _state(uri: str) -> Json:
    try:
        state = artifacts.parse_json(storage.read_bytes(uri), uri)
    except NotFound:
        raise DataError(f"{uri}: is missing; run the pipeline again, which writes it again") from None
    if state.get("schema") != artifacts.schema("shard_state"):
        raise DataError(f"{uri}: received schema {state.get('schema')!r}; expected {artifacts.schema('shard_state')!r}")
    return state


def _frames(descriptor: int, path: str) -> Iterator[tuple[int, int]]:
    """Offset and length of each record's data in a TFRecord file.

    Source of the format: "TFRecords format details", TensorFlow's guide to TFRecord and tf.train.Example.
    """
    at, end = 0, os.fstat(descriptor).st_size
    while at < end:
        header = os.pread(descriptor, _HEADER.size, at)
        length, checksum = _HEADER.unpack(header) if len(header) == _HEADER.size else (0, -1)
        following = at + _HEADER.size + length + _CHECKSUM.size
        if _masked(header[:8]) != checksum or following > end:
            raise DataError(f"{path}: is damaged at byte {at}; remove the directory, and the next run makes it again")
        yield at + _HEADER.size, length
        at = following


def _masked(data: bytes) -> int:
    """CRC32C as TFRecords store it: rotated right by 15 bits, plus a constant."""
    checksum = google_crc32c.value(data)
    return int((((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
