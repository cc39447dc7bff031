"""Batches: every example once, nearly equal sizes, and the same batches wherever training starts."""

import functools
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.data import batches, examples
from frostline.data.batches import Images
from frostline.data.config import AugmentConfig
from frostline.errors import DataError
from frostline.features import packs
from frostline.features.packs import Layout
from frostline.features.source import Features

from tests.support import recorded

SIZE, COUNT, BATCH = 8, 53, 8
VARIED = AugmentConfig(flip=True, crop=0.4, colour=0.5)
LAYOUT = Layout((3, 2), "bfloat16")


@pytest.fixture(scope="module")
def pixels():
    return recorded.noise(COUNT, SIZE)


@pytest.fixture(scope="module")
def found(tmp_path_factory, pixels):
    root = tmp_path_factory.mktemp("input")
    found = examples.load(str(recorded.write(root / "records", pixels)), "train", root)
    yield found
    found.close()


def values(view):
    """Features of all images, in the order of their numbers."""
    return np.random.default_rng(view).normal(size=(COUNT, *LAYOUT.shape)).astype(LAYOUT.numpy_dtype)


@pytest.fixture(scope="module")
def cached(tmp_path_factory, found):
    root = tmp_path_factory.mktemp("cached")
    readers = {}
    for view in (0, 1):
        with packs.Writer(str(root / str(view)), LAYOUT, computed_on="CPU") as writer:
            writer.add([recorded.identifier(number) for number in range(COUNT)], values(view))
        readers[view] = packs.Reader(str(root / str(view)), None, LAYOUT, root)
    yield Features(found, readers, LAYOUT, "pool")
    for reader in readers.values():
        reader.close()


def read(source, parts, view=0):
    return [(inputs.numpy(), labels.numpy()) for inputs, labels in batches.stream(source, parts, view)]


@given(count=st.integers(0, 400), batch_size=st.integers(1, 450), seed=st.integers(0, 2**31 - 1))
def test_a_pass_holds_every_position_once_in_batches_that_differ_by_one_at_most(count, batch_size, seed):
    parts = batches.cut(batches.order(count, seed, 0), batch_size)
    sizes = [len(part) for part in parts]
    assert sorted(position for part in parts for position in part) == list(range(count))
    assert len(parts) == batches.steps(count, batch_size)
    assert all(0 < size <= batch_size for size in sizes)
    assert sizes == sorted(sizes, reverse=True)
    assert not sizes or sizes[0] - sizes[-1] <= 1


@given(seed=st.integers(0, 2**31 - 1), epoch=st.integers(0, 10_000))
def test_the_order_is_a_function_of_seed_and_epoch(seed, epoch):
    order = batches.order(60, seed, epoch).tolist()
    assert order == batches.order(60, seed, epoch).tolist()
    assert order != batches.order(60, seed, epoch + 1).tolist()
    assert order != batches.order(60, seed + 1, epoch).tolist()


def test_images_and_features_stay_with_their_labels(found, cached, pixels):
    parts = batches.cut(batches.order(COUNT, 1, 0), BATCH)
    for batch, labels in read(Images(found, SIZE), parts):
        assert (batch.dtype, labels.dtype) == (np.uint8, np.int64)
        np.testing.assert_array_equal(batch, pixels[labels])
    for view in (0, 1):
        for rows, labels in read(cached, parts, view):
            assert rows.dtype == LAYOUT.numpy_dtype
            assert rows.tobytes() == values(view)[labels].tobytes()


def test_images_and_their_features_come_in_the_same_order_with_the_same_labels(found, cached):
    parts = batches.cut(batches.order(COUNT, 2, 5), BATCH)
    from_images, from_cache = (read(source, parts) for source in (Images(found, SIZE, VARIED), cached))
    assert [labels.tolist() for _, labels in from_images] == [labels.tolist() for _, labels in from_cache]


@pytest.mark.parametrize("first", [1, 3, 6])
@pytest.mark.parametrize("augment", [AugmentConfig(), VARIED], ids=["plain", "varied"])
def test_a_pass_that_starts_at_a_step_gives_the_last_batches_of_the_whole_pass(found, first, augment):
    parts = batches.cut(batches.order(COUNT, 4, 2), BATCH)
    source = Images(found, SIZE, augment, seed=9)
    whole, rest = read(source, parts, 2), read(source, parts[first:], 2)
    assert len(rest) == len(parts) - first
    for (old, old_labels), (new, new_labels) in zip(whole[first:], rest, strict=True):
        assert old.tobytes() == new.tobytes()
        assert old_labels.tolist() == new_labels.tolist()


def test_a_variant_depends_on_seed_view_and_image_but_not_on_its_batch(found):
    def variants(view, seed, batch_size, order_seed):
        parts = batches.cut(batches.order(COUNT, order_seed, 0), batch_size)
        rows = read(Images(found, SIZE, VARIED, seed), parts, view)
        return {label: image for batch, labels in rows for label, image in zip(labels.tolist(), batch, strict=True)}

    one = variants(0, 0, 8, 0)
    for batch_size in (1, 5, COUNT):
        other = variants(0, 0, batch_size, 1)
        assert all(one[label].tobytes() == other[label].tobytes() for label in range(COUNT))
    for changed in (variants(1, 0, 8, 0), variants(0, 1, 8, 0)):
        assert sum(one[label].tobytes() != changed[label].tobytes() for label in range(COUNT)) > 0.9 * COUNT


@pytest.mark.parametrize("part", [1, 3 * SIZE**2 * 4, 10**9], ids=["one image", "four images", "any number"])
@pytest.mark.parametrize("cores", [1, 3, 100])
def test_a_batch_is_the_same_however_it_is_cut_for_the_cores(found, pixels, monkeypatch, cores, part):
    positions = np.array([5, 5, 0, *range(COUNT)])
    expected = [Images(found, SIZE, augment, 1).read(positions, 2).numpy() for augment in (AugmentConfig(), VARIED)]
    monkeypatch.setattr(batches, "_CORES", cores)
    monkeypatch.setattr(batches, "_PART", part)
    for augment, one in zip((AugmentConfig(), VARIED), expected, strict=True):
        np.testing.assert_array_equal(Images(found, SIZE, augment, 1).read(positions, 2), one)
    np.testing.assert_array_equal(expected[0], pixels[found.labels[positions]])


def test_all_cores_take_part_in_a_batch(found, monkeypatch):
    monkeypatch.setattr(batches, "_CORES", 3)
    monkeypatch.setattr(batches, "_pool", functools.cache(batches._pool.__wrapped__))  # none was made before
    monkeypatch.setattr(batches, "_PART", 3 * SIZE**2 * 10)
    together = threading.Barrier(3)  # which opens when three threads are there

    class Awaited(examples.Examples):
        def read(self, positions):
            together.wait(30)
            return found.read(positions)

    awaited = Awaited(found.origin, found.ids, found.labels, found.files, found.scratch)
    assert len(Images(awaited, SIZE).read(np.arange(30), 0)) == 30


def test_a_batch_of_no_images_is_empty(found):
    for augment in (AugmentConfig(), VARIED):
        assert Images(found, SIZE, augment).read(np.array([], np.int64), 0).shape == (0, SIZE, SIZE, 3)


def test_an_error_of_the_source_is_raised_at_its_batch(tmp_path, pixels):
    directory = recorded.write(tmp_path / "records", pixels)
    path = next(directory.glob("*-train.tfrecord-00000-*"))
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    damaged = examples.load(str(directory), "train", tmp_path)
    parts = batches.cut(np.arange(COUNT)[::-1], BATCH)  # the damaged record is in the last batch
    pending = batches.stream(Images(damaged, SIZE), parts)
    good = [next(pending) for _ in range(len(parts) - 1)]
    assert len(good) == len(parts) - 1
    with pytest.raises(DataError, match=f"the record of example {recorded.identifier(0)} is damaged"):
        next(pending)
    damaged.close()


def test_an_image_without_features_is_named(found, cached, tmp_path):
    with packs.Writer(str(tmp_path), LAYOUT, computed_on="CPU") as writer:
        writer.add([recorded.identifier(number) for number in range(1, COUNT)], values(0)[1:])
    with packs.Reader(str(tmp_path), None, LAYOUT, tmp_path) as reader:
        source = Features(found, {0: reader}, LAYOUT, "pool")
        with pytest.raises(DataError, match=f"has no features of the image {recorded.identifier(0)}"):
            read(source, batches.cut(np.arange(COUNT), BATCH))


def test_an_image_of_another_size_stops_the_pass(found):
    with pytest.raises(DataError, match="no image of 9 x 9 pixels"):
        read(Images(found, SIZE + 1), [np.arange(3)])
