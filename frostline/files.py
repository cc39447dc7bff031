"""Opening files that others may have made: a FIFO would wait for ever, and a device never ends."""

from __future__ import annotations

import errno
import os
from io import BufferedReader
from pathlib import Path
from stat import S_ISREG

from frostline.errors import NotRegular


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file to read, without waiting.

    Raises:
        NotRegular: it is a directory, FIFO, socket or device.
        OSError: as `open` does.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device without a driver
            raise _not_regular(path) from None
        raise
    if not S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return os.fdopen(descriptor, "rb")


def _not_regular(path: Path) -> NotRegular:
    what = "Is a directory" if path.is_dir() else "it is no regular file"
    return NotRegular(f"{path}: cannot be read: {what}")
