"""What may be where a file should be, and a limit for a reader that would wait for it for ever."""

import contextlib
import os
import signal
import socket

KINDS = ("fifo", "socket", "device", "link to a fifo")
_SECONDS = 20


def make(path, kind):
    """Make something that is no regular file, and return its path."""
    if kind == "socket":
        with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)  # a relative address, which has at most 107 bytes
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.mkfifo(path.with_name("pipe"))
        path.symlink_to("pipe")
    return path


@contextlib.contextmanager
def in_time():
    """Raise TimeoutError in what waits for longer than some seconds."""

    def ended(*_):
        raise TimeoutError("it waits, or reads for ever")

    before = signal.signal(signal.SIGALRM, ended)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
