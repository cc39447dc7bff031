"""Small models in a registry, for tests of versions and aliases, and a signed one."""

import pytest

from frostline import registry

from tests.support import signing
from tests.support.registries import Models


@pytest.fixture
def make(root, tmp_path):
    """Publishes small models there."""
    return Models(root, tmp_path / "made")


@pytest.fixture
def signed(make, signer, tmp_path):
    """A signed version, the champion."""
    make.promoted(b"one")
    version = registry.versions(make.root, "digits")[0]
    assert signing.sign(version, signer, tmp_path)
    return version
