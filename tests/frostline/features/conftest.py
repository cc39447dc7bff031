"""A place for packs of features, in a directory and in a bucket."""

import pytest

from frostline.features.store import root_of


@pytest.fixture(params=["directory", "bucket"])
def root(request, tmp_path):
    store = str(tmp_path / "store") if request.param == "directory" else request.getfixturevalue("gcs")
    return root_of(store, "a" * 64)
