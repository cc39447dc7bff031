"""Cached features as a source of batches: the rows of the right images and variant, in the storage type."""

from pathlib import Path

import numpy as np
import pytest

from frostline.data import batches
from frostline.data.examples import Examples
from frostline.errors import DataError
from frostline.features.packs import Layout, Reader, Writer
from frostline.features.source import Features

COUNT, LAYOUT = 6, Layout((2, 3), "float16")
IDS = tuple(f"{number:064x}" for number in range(COUNT))
LABELS = np.arange(COUNT) % 2


def values(view):
    return np.random.default_rng(view).normal(size=(COUNT, *LAYOUT.shape)).astype(np.float16)


@pytest.fixture
def features(tmp_path):
    readers = {}
    for view in (0, 1):
        with Writer(str(tmp_path / str(view)), LAYOUT, computed_on="CPU") as writer:
            writer.add(IDS, values(view))
        readers[view] = Reader(str(tmp_path / str(view)), None, LAYOUT, tmp_path)
    yield Features(Examples("features", IDS, LABELS, (), Path()), readers, LAYOUT, "block1_pool")
    for reader in readers.values():
        reader.close()


@pytest.mark.parametrize("view", [0, 1])
def test_a_batch_has_the_rows_of_its_positions_and_its_view(features, view):
    positions = np.array([4, 0, 4])
    found = features.read(positions, view).numpy()
    assert found.dtype == np.float16
    assert found.tobytes() == values(view)[positions].tobytes()


def test_the_specification_fits_every_batch(features):
    assert features.spec.is_compatible_with(features.read(np.array([1, 2]), 0))
    assert features.layer == "block1_pool"


def test_batches_come_with_their_labels(features):
    parts = batches.cut(np.arange(COUNT)[::-1], 4)
    found = list(batches.stream(features, parts, 1))
    assert [labels.numpy().tolist() for _, labels in found] == [LABELS[part].tolist() for part in parts]
    assert np.concatenate([rows.numpy() for rows, _ in found]).tobytes() == values(1)[::-1].tobytes()


def test_an_image_without_features_is_named(features):
    known = Features(Examples("", ("f" * 64,), LABELS[:1], (), Path()), features.readers, LAYOUT, "block1_pool")
    with pytest.raises(DataError, match=f"has no features of the image {'f' * 64}"):
        known.read(np.array([0]), 0)
