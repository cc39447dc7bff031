"""The warm process of a local run: it has imported what the steps need, and runs each of them in a fork of itself.

Importing TensorFlow takes 2 s or more, and a run has eight steps. Started as `python -m pipelines.warm_server SOCKET`;
it listens first and imports then, so that nobody has to wait for a socket. It has one thread of its own and computes
nothing, and the libraries whose threads start when they are imported (OpenBLAS, jemalloc) start them again in a fork.
So a fork is as good as a new process. See `frostline.warm` for what is asked and answered.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import random
import runpy
import select
import signal
import socket
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

from frostline import quiet, warm

_POLL_SECONDS = 0.02  # while a fork runs
_PR_SET_PDEATHSIG = 1  # prctl(2)
_STAGES = ("plan", "ingest", "prepare", "validate", "train", "evaluate", "gate", "release")


def serve(place: str) -> None:
    """Answer requests until this process is ended.

    Args:
        place: path of the socket to make.
    """
    listener = socket.socket(socket.AF_UNIX)
    with warm.address(place) as short:
        listener.bind(short)
    listener.listen(64)
    _import()
    forks: dict[int, socket.socket] = {}
    while True:
        wanted = [listener, *forks.values()]
        ready, _, _ = select.select(wanted, [], [], _POLL_SECONDS if forks else None)
        for one in ready:
            if one is listener:
                _begin(listener, forks)
            else:
                _kill_abandoned(one, forks)
        _tell_ended(forks)


def _import() -> None:
    """Import what steps import, and nothing that opens files or starts threads of ours."""
    quiet.import_tensorflow()
    importlib.import_module("kfp.dsl.executor_main")
    for stage in _STAGES:
        importlib.import_module(f"frostline.{stage}")
    gc.freeze()  # so that collections in the forks do not copy pages


def _begin(listener: socket.socket, forks: dict[int, socket.socket]) -> None:
    connection, _ = listener.accept()
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
    request: Any = warm.receive(connection)
    if len(descriptors) < 3 or request is None:
        connection.close()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and newer warn of any thread, see above
        pid = os.fork()
    if pid == 0:
        for inherited in (listener, connection, *forks.values()):
            inherited.close()
        _be(request, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    forks[pid] = connection
    warm.send(connection, {"pid": pid})


def _kill_abandoned(connection: socket.socket, forks: dict[int, socket.socket]) -> None:
    """Nobody waits for this fork any more: who asked for it was killed."""
    for pid in [pid for pid, one in forks.items() if one is connection]:
        os.kill(pid, signal.SIGKILL)


def _tell_ended(forks: dict[int, socket.socket]) -> None:
    for pid, connection in list(forks.items()):
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            del forks[pid]
            with connection, contextlib.suppress(OSError):  # who asked may have been killed
                warm.send(connection, {"code": os.waitstatus_to_exitcode(status), "peak": usage.ru_maxrss})


def _be(request: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Become the process that was asked for; never returns."""
    code = 1
    with contextlib.suppress(AttributeError):  # only Linux has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["directory"])
        random.seed()
        tempfile.tempdir = None
        _, module, *arguments = request["arguments"]
        sys.argv[1:] = arguments
        sys.modules.pop(module, None)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
