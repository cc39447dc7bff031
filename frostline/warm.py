"""Ask a process that has TensorFlow imported to run a Python module in a copy of itself, which starts at once.

A local run starts such a process, `pipelines.warm_server`, and names its socket in FROSTLINE_WARM. Each module runs in
a process of its own all the same: a fork, whose death is told as that of any other process. Without a socket, or if
nobody answers there, `run` starts a new interpreter. Only the standard library is imported here: `python -IS warm.py
-m MODULE` is what a local run has in place of `python3`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

SOCKET = "FROSTLINE_WARM"
_LENGTH = 8  # bytes before a message: its length, big-endian


def run(
    arguments: Sequence[str], stdin: int, started: Callable[[int], None] = lambda pid: None
) -> tuple[int, int] | None:
    """Run `python ARGUMENTS` in a fork of the warm process, with this process' directory, environment and output.

    Args:
        arguments: `-m`, the module, and its arguments.
        stdin: descriptor of its standard input.
        started: is called with the id of the fork.

    Returns:
        Its exit code, -N if signal N killed it, and the largest resident set in KiB; None if there is no warm process.
    """
    place = os.environ.get(SOCKET)
    if not place or list(arguments[:1]) != ["-m"]:
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        here = os.getcwd()  # noqa: PTH109  (pathlib takes longer to import than all else here)
        request = {"arguments": list(arguments), "directory": here, "environment": dict(os.environ)}
        try:
            with address(place) as short:
                connection.connect(short)
            socket.send_fds(connection, [b"\0"], [stdin, 1, 2])
            send(connection, request)
        except OSError:
            return None
        begun = receive(connection)
        if begun is None:
            return None
        started(begun["pid"])
        ended = receive(connection)
    return (-signal.SIGKILL, 0) if ended is None else (ended["code"], ended["peak"])  # the warm process was killed


@contextmanager
def address(place: str) -> Iterator[str]:
    """A name of a socket's path that is short enough: an address has about 100 bytes."""
    directory, name = os.path.split(place)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        short = f"/proc/self/fd/{descriptor}"
        yield f"{short}/{name}" if os.path.isdir(short) else place  # noqa: PTH112
    finally:
        os.close(descriptor)


def send(connection: socket.socket, message: Mapping[str, object]) -> None:
    """Send one JSON object."""
    data = json.dumps(message).encode(errors="surrogateescape")
    connection.sendall(len(data).to_bytes(_LENGTH, "big") + data)


def receive(connection: socket.socket) -> dict[str, int] | None:
    """The next JSON object; None where the other side has ended."""
    header = _exactly(connection, _LENGTH)
    data = _exactly(connection, int.from_bytes(header, "big")) if header else b""
    return json.loads(data) if data else None


def _exactly(connection: socket.socket, length: int) -> bytes:
    """So many bytes; none where the other side ends before."""
    data = b""
    while len(data) < length:
        try:
            part = connection.recv(length - len(data))
        except ConnectionError:
            part = b""
        if not part:
            return b""
        data += part
    return data


def main(arguments: Sequence[str]) -> None:
    """Be `python3`: end as the fork ends, or become a new interpreter if there is no warm process."""
    forked: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        for pid in forked:
            os.kill(pid, number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    ended = run(arguments, 0, forked.append)
    if ended is None:
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606  (what was asked for)
    if ended[0] < 0:
        signal.signal(-ended[0], signal.SIG_DFL) if -ended[0] != signal.SIGKILL else None
        os.kill(os.getpid(), -ended[0])
    sys.exit(ended[0])


if __name__ == "__main__":
    main(sys.argv[1:])
