"""Packs of features: small ones that a test writes, and those of a run, read and forged with digests that fit."""

import tempfile
from pathlib import Path

import numpy as np

from frostline import digests, storage
from frostline.features.builder import FeatureSet
from frostline.features.packs import Layout, Reader, Writer
from frostline.features.store import root_of

LAYOUT = Layout((2, 3), "float32")


def ids_of(count, first=0):
    return [digests.of_bytes(str(number).encode()) for number in range(first, first + count)]


def rows_of(count, layout=LAYOUT, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *layout.shape)).astype(layout.numpy_dtype)


def write(root, count, *, first=0, layout=LAYOUT, seed=0, **options):
    with Writer(root, layout, **{"computed_on": "CPU", **options}) as writer:
        writer.add(ids_of(count, first), rows_of(count, layout, seed))
    return writer.packs


def opened(root, tmp_path, names=None, layout=LAYOUT):
    return Reader(root, names, layout, tmp_path / "scratch")


def merged(documents, layer, view=-1):
    """One set over all shards."""
    found = [FeatureSet.read(one) for document in documents for one in document["sets"]]
    parts = [one for one in found if (one.layer, one.view) == (layer, view)]
    assert len({one.address for one in parts}) == 1
    return parts[0], sorted({pack for one in parts for pack in one.packs})


def rows(store, documents, layer, view=-1):
    """Each image's features by its id."""
    one, packs = merged(documents, layer, view)
    with (
        tempfile.TemporaryDirectory() as scratch,
        Reader(root_of(store, one.address), packs, one.layout, Path(scratch)) as reader,
    ):
        return {identifier: reader.read([identifier])[0] for identifier in reader.ids}


def forge(store, documents, layer, change, view=-1):
    """Replace every row by `change(id, row)`; digests and seals are right afterwards."""
    one, packs = merged(documents, layer, view)
    root = root_of(store, one.address)
    for pack in packs:
        with (
            tempfile.TemporaryDirectory() as scratch,
            Reader(root, [pack], one.layout, Path(scratch)) as reader,
        ):
            ids = list(reader.ids)
            changed = [change(identifier, reader.read([identifier])[0].copy()) for identifier in ids]
        storage.delete(storage.join(root, f"{pack}.json"))
        storage.delete(storage.join(root, f"{pack}.bin"))
        with Writer(root, one.layout, computed_on="CPU") as writer:
            for identifier, row in zip(ids, changed, strict=True):
                writer.add([identifier], row[None])
        assert writer.packs == [pack]
