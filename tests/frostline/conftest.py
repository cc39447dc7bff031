"""Small models in a registry, for tests of versions and aliases."""

import pytest

from tests.support.registries import Models


@pytest.fixture
def make(root, tmp_path):
    """Publishes small models there."""
    return Models(root, tmp_path / "made")
