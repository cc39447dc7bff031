"""Local directories and shared volumes.

A file is written under a temporary name in the same directory, flushed, and then linked (exclusive create; under a lock
if it is a link itself) or renamed (replacement, under a lock) into place. The file system must have hard links and
flock, as POSIX systems and NFS do.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from stat import S_ISREG

from frostline.errors import NotFound, PreconditionFailed, StorageError
from frostline.files import open_regular
from frostline.storage.base import ABSENT, Stat
from frostline.text import os_reason

_TEMPORARY_SUFFIXES = (".partial", ".lock")
_OWN_PARTIAL = re.compile(r"\.(.+\.)?[0-9a-f]{32}\.partial")
_ABANDONED = 24 * 3600  # age in seconds after which a temporary file has no living writer
_CANNOT_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP)


def require_no_links(root: str, names: Sequence[str]) -> None:
    """Raise StorageError if one of the directories ROOT/NAME/NAME... below `root` is a link."""
    place = Path(root)
    for name in names:
        place /= name
        if place.is_symlink() and place.is_dir():
            raise StorageError(f"{place}: is a link to a directory; nothing below {root} is reached through a link")


def stat(uri: str) -> Stat | None:
    """See `storage.stat`."""
    with _as_storage_error(uri, "read"):
        return _stat(Path(uri))


def read_bytes(uri: str, offset: int, length: int | None) -> bytes:
    """See `storage.read_bytes`; fewer than `length` bytes if the file ends earlier."""
    with _as_storage_error(uri, "read"), open_regular(Path(uri)) as file:
        file.seek(offset)
        return file.read(-1 if length is None else length)


def write_bytes(uri: str, data: bytes, if_generation: str | None) -> Stat:
    """See `storage.write_bytes`."""
    return _write(uri, lambda temporary: _create(temporary, data), if_generation)


def upload_file(path: Path, uri: str, if_generation: str | None) -> Stat:
    """See `storage.upload_file`."""
    return _write(uri, lambda temporary: _link_or_copy(path.resolve(), temporary), if_generation)


def list_files(uri: str) -> list[Stat]:
    """See `storage.list_files`."""
    with _as_storage_error(uri, "read"):
        return list(_walk(Path(uri))) if Path(uri).is_dir() else []


def localize(uri: str, into: Path) -> Path:
    """See `storage.localize`."""
    path = Path(uri)
    with _as_storage_error(uri, "read"):
        if not path.is_dir():
            open_regular(path).close()
    return path


def check_writable(uri: str) -> None:
    """See `storage.check_writable`."""
    place = Path(uri).absolute()
    while not os.path.lexists(place):
        place = place.parent
    probe = place / f".{uuid.uuid4().hex}.partial"
    with _as_storage_error(uri, "written"):
        probe.open("xb").close()
        probe.unlink()


def delete(uri: str) -> bool:
    """See `storage.delete`."""
    path = Path(uri)
    with _as_storage_error(uri, "removed"):
        if path.is_dir():
            return False
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        _sync(path.parent)
        return True


def sweep(uri: str) -> None:
    """See `storage.sweep`. The age is that of the last change of the inode, so a new link to an old file is new."""
    with _as_storage_error(uri, "read"):
        for directory, _, files in os.walk(uri):
            for name in filter(_OWN_PARTIAL.fullmatch, files):
                _remove_abandoned(Path(directory) / name)


def _remove_abandoned(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # its writer was alive and has finished
        if time.time() - path.lstat().st_ctime > _ABANDONED:
            path.unlink()


def _write(uri: str, produce: Callable[[Path], None], if_generation: str | None) -> Stat:
    path = Path(uri)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    with _as_storage_error(uri, "written"):
        _make_directory(path.parent)
        try:
            produce(temporary)
            placed = _create_exclusively if if_generation == ABSENT else _replace
            result = placed(temporary, path, if_generation)
            _sync(path.parent)
            return result
        finally:
            temporary.unlink(missing_ok=True)


def _create_exclusively(temporary: Path, path: Path, _: str | None) -> Stat:
    if temporary.stat().st_nlink > 1:  # a link to a file that others may be storing at the same address
        return _create_shared(temporary, path)
    try:
        os.link(temporary, path)
    except FileExistsError:
        # On NFS the answer to a successful link can be lost, and the retry finds the link: see open(2), O_EXCL.
        if temporary.stat().st_nlink == 1:
            raise PreconditionFailed(f"{path}: already exists") from None
    return _describe(path, temporary.stat())


def _create_shared(temporary: Path, path: Path) -> Stat:
    """Under the lock, because the number of links says nothing here: every writer of this source changes it."""
    with _locked(path):
        if not os.path.lexists(path):
            with contextlib.suppress(FileExistsError):  # of a writer without a lock, or ours, and NFS lost the answer
                os.link(temporary, path)
            if _is_same(temporary, path):
                return _describe(path, temporary.stat())
    raise PreconditionFailed(f"{path}: already exists")


def _replace(temporary: Path, path: Path, if_generation: str | None) -> Stat:
    with _locked(path):
        current = _stat(path)
        if if_generation is not None and (current is None or current.generation != if_generation):
            raise PreconditionFailed(f"{path}: has been replaced since it was read")
        if current is not None:
            _make_different(temporary, path)
        result = _describe(path, temporary.stat())
        temporary.replace(path)
        return result


def _make_different(temporary: Path, path: Path) -> None:
    """Give the replacement of a file another generation, even of the same source or within one tick of the clock.

    Renaming one link of a file to another link of it does nothing, so it becomes a copy. A file with other links keeps
    its time, which the links share; its inode already differs.
    """
    if _is_same(temporary, path):
        temporary.unlink()
        shutil.copyfile(path, temporary)
        temporary.chmod(0o644)
        _sync(temporary)
    earlier, status = path.stat().st_mtime_ns, temporary.stat()
    if status.st_nlink == 1 and status.st_mtime_ns <= earlier:  # one tick is up to 10 ms
        os.utime(temporary, ns=(status.st_atime_ns, earlier + 1))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samestat(one.lstat(), other.lstat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file of `path` and remove it at the end; a writer that waited for a removed file tries again."""
    lock = path.with_name(f".{path.name}.lock")
    while True:
        with os.fdopen(
            os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o666), "ab"
        ) as file:  # it may be a FIFO
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file.fileno(), lock):
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _create(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        shutil.copyfile(source, target)
    _sync(target)


def _make_directory(directory: Path) -> None:
    """Make a directory and its parents, and flush each into its own parent."""
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    _sync(directory.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _walk(directory: Path) -> Iterator[Stat]:
    for entry in directory.iterdir():
        if entry.is_dir():
            if not entry.is_symlink():
                yield from _walk(entry)
        elif not (entry.name.startswith(".") and entry.name.endswith(_TEMPORARY_SUFFIXES)):
            found = _stat(entry)
            if found is not None:
                yield found


def _stat(path: Path) -> Stat | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _describe(path, status) if S_ISREG(status.st_mode) else None


def _describe(path: Path, status: os.stat_result) -> Stat:
    return Stat(str(path), status.st_size, f"{status.st_mtime_ns}-{status.st_ino}-{status.st_size}")


@contextlib.contextmanager
def _as_storage_error(uri: str, what: str) -> Iterator[None]:
    """Turn an OSError into a one-line StorageError with the address."""
    try:
        yield
    except OSError as error:
        if what == "read" and isinstance(error, FileNotFoundError | NotADirectoryError):
            raise NotFound(f"{uri}: there is no such file") from None
        raise StorageError(f"{uri}: cannot be {what}: {os_reason(error)}") from error
