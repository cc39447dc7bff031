"""Small models in the registry, for the tests that ask."""

import pytest

from tests.support.registries import Models


@pytest.fixture
def make(root, tmp_path):
    """Publishes small models there."""
    return Models(root, tmp_path / "made")
