"""Buckets of Google Cloud Storage, through google-cloud-storage, which is imported at the first gs:// address.

Every write has a generation precondition, as the client retries no other upload (python-storage#1232), and a unique
mark in the object's metadata. If the first attempt arrived but its answer was lost, the precondition refuses the retry;
the mark shows that the stored object is ours. Unconditional writers that are in each other's way pause for a random
time. The client checks CRC32C on uploads and on downloads that it need not resume; `_require_intact` does on all whole
downloads. A part of an object has no checksum, so its reader compares a digest.
"""

from __future__ import annotations

import base64
import functools
import os
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from frostline.errors import NotFound, PreconditionFailed, StorageError
from frostline.storage.base import ABSENT, Stat, relative_parts
from frostline.text import one_line, without_user

_MARK = "frostline-write"
_ATTEMPTS = 12  # of an unconditional write or a deletion, with 20 s of pauses on average
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds; a bucket takes one write per second and object
_PARALLEL_DOWNLOADS = 8
_PIECE = 2**20  # bytes that are compared at a time
_CRC32C_OF_NOTHING = "AAAAAA=="
_LONGEST = 600  # characters of what a server says: it may be a whole page


def stat(uri: str) -> Stat | None:
    """See `storage.stat`."""
    bucket, name = _split(uri)
    with _as_storage_error(uri):
        blob = _client().bucket(bucket).get_blob(name) if name else None
    return None if blob is None else _describe(blob)


def read_bytes(uri: str, offset: int, length: int | None) -> bytes:
    """See `storage.read_bytes`; fewer than `length` bytes if the object ends earlier."""
    if length == 0:
        if stat(uri) is None:
            raise NotFound(f"{uri}: there is no such object")
        return b""
    from google.api_core.exceptions import NotFound as Missing
    from google.api_core.exceptions import RequestRangeNotSatisfiable

    end = None if length is None else offset + length - 1
    with _as_storage_error(uri):
        blob = _blob(uri)
        try:
            data = bytes(blob.download_as_bytes(start=offset or None, end=end))
        except RequestRangeNotSatisfiable:
            return b""
        except Missing:
            stat(uri)  # which notices another server: an object's 404 is a page of any kind, its description's is JSON
            raise
    if not offset and end is None:
        _require_intact(uri, blob, [data])
    return data


def write_bytes(uri: str, data: bytes, if_generation: str | None) -> Stat:
    """See `storage.write_bytes`."""
    return _write(uri, if_generation, lambda blob, condition: blob.upload_from_string(data, _BINARY, **condition))


def upload_file(path: Path, uri: str, if_generation: str | None) -> Stat:
    """See `storage.upload_file`."""
    return _write(uri, if_generation, lambda blob, condition: blob.upload_from_filename(path, _BINARY, **condition))


def list_files(uri: str) -> list[Stat]:
    """See `storage.list_files`."""
    bucket, name = _split(uri)
    with _as_storage_error(uri):
        blobs = _client().list_blobs(bucket, prefix=f"{name}/" if name else None)
        found, tokens = [], set()
        for page in blobs.pages:
            found += [_describe(blob) for blob in page if not blob.name.endswith("/")]  # "folders" that consoles create
            if blobs.next_page_token in tokens:
                raise StorageError(f"{uri}: the list of its objects leads back to an earlier page and never ends")
            tokens.add(blobs.next_page_token)
        return found


def localize(uri: str, into: Path) -> Path:
    """See `storage.localize`."""
    root = uri.rstrip("/")
    if stat(root) is not None:
        target = into / relative_parts(root.rpartition("/")[2])[0]
        _download(root, target)
        return target
    found = list_files(root)
    if not found:
        raise NotFound(f"{uri}: there is no such object and nothing below it")
    targets = [into.joinpath(*relative_parts(item.uri.removeprefix(f"{root}/"))) for item in found]
    with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
        list(pool.map(_download, [item.uri for item in found], targets))
    return into


def check_writable(uri: str) -> None:
    """See `storage.check_writable`."""
    probe = f"{uri.rstrip('/')}/.{uuid.uuid4().hex}.partial"
    try:
        write_bytes(probe, b"", ABSENT)
    except NotFound:
        raise StorageError(f"{uri}: there is no such bucket") from None
    delete(probe)


def delete(uri: str) -> bool:
    """See `storage.delete`. The client retries a deletion only if it names a generation."""
    from google.api_core.exceptions import NotFound as Missing
    from google.api_core.exceptions import PreconditionFailed as Refused

    existed = False
    for _ in _attempts(_ATTEMPTS):
        found = stat(uri)
        if found is None:
            return existed
        existed = True
        with _as_storage_error(uri):
            try:
                _blob(uri).delete(if_generation_match=int(found.generation))
            except Refused:  # it was replaced after stat, or an earlier attempt succeeded
                continue
            except Missing:  # an earlier attempt succeeded, or another process removed it
                pass
            return True
    raise StorageError(f"{uri}: was replaced again before every attempt to remove it; it was not removed")


_BINARY = "application/octet-stream"


def _write(uri: str, if_generation: str | None, upload: Callable[[Any, dict[str, int]], None]) -> Stat:
    from google.api_core.exceptions import PreconditionFailed as Refused

    mark = uuid.uuid4().hex
    with _as_storage_error(uri):
        for _ in _attempts(_ATTEMPTS if if_generation is None else 1):
            blob = _blob(uri)
            blob.metadata = {_MARK: mark}
            try:
                upload(blob, {"if_generation_match": _expected(uri, if_generation)})
            except Refused:
                stored = _client().bucket(blob.bucket.name).get_blob(blob.name)
                if stored is None or (stored.metadata or {}).get(_MARK) != mark:
                    continue
                blob = stored
            return _describe(blob)
    if if_generation is None:
        raise StorageError(f"{uri}: was replaced by another writer before each of {_ATTEMPTS} attempts to write it")
    problem = "already exists" if if_generation == ABSENT else "has been replaced since it was read"
    raise PreconditionFailed(f"{uri}: {problem}")


def _attempts(most: int) -> Iterator[None]:
    """Up to `most` turns with a random pause between two of them, whose limit doubles ("full jitter", Brooker 2015)."""
    for turn in range(most):
        if turn:
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**turn)))  # noqa: S311  (no secret)
        yield


def _expected(uri: str, if_generation: str | None) -> int:
    """The generation to replace; 0 means no object. An unconditional write replaces the current generation."""
    if if_generation == ABSENT:
        return 0
    if if_generation is not None:
        return int(if_generation)
    current = stat(uri)
    return 0 if current is None else int(current.generation)


def _download(uri: str, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    with _as_storage_error(uri):
        target.parent.mkdir(parents=True, exist_ok=True)
        blob = _blob(uri)
        try:
            blob.download_to_filename(temporary)
            with temporary.open("rb") as file:
                _require_intact(uri, blob, iter(lambda: file.read(_PIECE), b""))
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _require_intact(uri: str, blob: Any, pieces: Iterable[bytes]) -> None:
    """Compare a whole object with the CRC32C of its download: the client does not, if it had to resume the download.

    What the client decompressed it has compared before.
    """
    import google_crc32c

    if blob.crc32c is None or blob.content_encoding:
        return
    checksum = 0
    for piece in pieces:
        checksum = google_crc32c.extend(checksum, piece)
    if base64.b64encode(checksum.to_bytes(4, "big")).decode() != blob.crc32c:
        raise StorageError(f"{uri}: what was received does not have the checksum that Cloud Storage gives for it")


def _split(uri: str) -> tuple[str, str]:
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not bucket:
        raise StorageError(f"received {uri!r}; expected gs://BUCKET/PREFIX")
    return bucket, name


def sweep(uri: str) -> None:
    """See `storage.sweep`: a bucket has no partial objects, so there is nothing to remove."""


def _blob(uri: str) -> Any:
    bucket, name = _split(uri)
    if not name:
        raise StorageError(f"received {uri!r}, a whole bucket; expected an object, gs://BUCKET/NAME")
    return _client().bucket(bucket).blob(name)


def _describe(blob: Any) -> Stat:
    """The size of an empty object may be left out, as the storage testbench does."""
    uri = f"gs://{blob.bucket.name}/{blob.name}"
    try:
        size, generation = blob.size, blob.generation
        if size is None and blob.crc32c in (None, _CRC32C_OF_NOTHING):
            size = 0
    except (TypeError, ValueError):
        size = generation = None
    if size is None or generation is None:
        raise StorageError(f"{uri}: received a description without its size or generation; is this Cloud Storage?")
    return Stat(uri, size, str(generation))


def _client() -> Any:
    return _client_of(os.getpid(), os.environ.get("STORAGE_EMULATOR_HOST"))


@functools.lru_cache(maxsize=1)
def _client_of(process: int, emulator: str | None) -> Any:
    """One client per process (its connections do not survive a fork) and server."""
    from google.cloud import storage

    from frostline.storage import answers

    client = storage.Client()
    client._http.hooks["response"].append(answers.require_cloud_storage)
    return client


@contextmanager
def _as_storage_error(uri: str) -> Iterator[None]:
    """Turn the client's exceptions into a one-line StorageError with the address.

    A failed connection is an OSError, because exceptions of requests are. A malformed name or number is a ValueError.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.api_core.exceptions import NotFound as Missing
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

    try:
        yield
    except Missing as error:
        raise NotFound(f"{uri}: there is no such object or bucket") from error
    except (GoogleAPIError, GoogleAuthError, DataCorruption, InvalidResponse, OSError, ValueError) as error:
        detail = getattr(error, "strerror", None) or without_user(str(error))
        raise StorageError(f"{uri}: {one_line(detail, _LONGEST)}") from error
