"""What all tests share: quiet TensorFlow, and small photos that the tests make themselves."""

import os
import warnings
from pathlib import Path

import pytest

from frostline import storage

from tests.support import buckets, pictures, pushes, signing
from tests.support.kernels import ONEDNN_IS_CAPPED

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # subprocesses import TensorFlow three times slower with it
os.environ.pop("FROSTLINE_EVENTS", None)
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"  # the tests' own servers, and nothing else


def pytest_collection_modifyitems(config, items):
    """Leave what computes in bfloat16 to the test that runs it in another process, where it would end this one."""
    left_out = [item for item in items if ONEDNN_IS_CAPPED and item.get_closest_marker("bfloat16")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def photos(tmp_path):
    """A function that makes a directory of class folders: photos(per_class=30) -> Path."""

    def make(per_class: int = 30, classes: tuple[str, ...] = tuple(pictures.COLOURS)) -> Path:
        return pictures.make(tmp_path / "photos", per_class, classes)

    return make


@pytest.fixture(scope="session")
def _gcs_server():
    with buckets.server() as address:
        yield address


@pytest.fixture
def gcs(_gcs_server, monkeypatch):
    """The address of a new, empty bucket of an emulator."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", _gcs_server)
    return buckets.new(_gcs_server)


@pytest.fixture(params=["local", "gcs"])
def root(request, tmp_path):
    """A registry, in a directory and in a bucket."""
    place = str(tmp_path / "registry") if request.param == "local" else request.getfixturevalue("gcs")
    return storage.join(place, "models")


@pytest.fixture
def signer(tmp_path):
    """A new pair of keys."""
    return signing.pair(tmp_path / "keys")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """What the steps before push made of one model: only to be copied."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pushes.trained(tmp_path_factory.mktemp("made"))


@pytest.fixture
def undisturbed(made, tmp_path):
    """The run of a push that nothing disturbed, and what its registry holds."""
    elsewhere = str(tmp_path / "elsewhere")
    run = pushes.Run(tmp_path / "run", elsewhere, made)
    run.push()
    return run, pushes.content(elsewhere)
