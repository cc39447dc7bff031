"""A place for packs of features, in a directory and in a bucket; images to make features of."""

import pytest

from frostline.data import examples
from frostline.data.batches import Images
from frostline.features.store import root_of

from tests.support import recorded


@pytest.fixture(params=["directory", "bucket"])
def root(request, tmp_path):
    store = str(tmp_path / "store") if request.param == "directory" else request.getfixturevalue("gcs")
    return root_of(store, "a" * 64)


@pytest.fixture
def source(tmp_path):
    """A function that records pixels of shape [count, size, size, 3] and gives them as `Images`."""
    opened = []

    def source(pixels):
        directory = recorded.write(tmp_path / f"records-{len(opened)}", pixels)
        opened.append(examples.load(str(directory), "train", tmp_path))
        return Images(opened[-1], pixels.shape[1])

    yield source
    for found in opened:
        found.close()
