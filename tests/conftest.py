"""What all tests share: quiet TensorFlow, and small photos that the tests make themselves."""

import os
from pathlib import Path

import pytest

import pictures

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # subprocesses import TensorFlow three times slower with it
os.environ.pop("FROSTLINE_EVENTS", None)
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"  # the tests' own servers, and nothing else


@pytest.fixture
def photos(tmp_path):
    """A function that makes a directory of class folders: photos(per_class=30) -> Path."""

    def make(per_class: int = 30, classes: tuple[str, ...] = tuple(pictures.COLOURS)) -> Path:
        return pictures.make(tmp_path / "photos", per_class, classes)

    return make
