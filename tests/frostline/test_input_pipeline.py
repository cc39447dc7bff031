"""Batches: nothing lost, nothing doubled, nearly equal sizes, an order that the seed alone decides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline import input_pipeline, records

SIZE = 4


def write(directory, count, shards=2):
    """`count` images whose pixels and label say which they are."""
    for shard in range(shards):
        with records.writers(directory, "toy", f"{shard:05d}-of-{shards:05d}") as writer:
            for number in range(shard, count, shards):
                image = np.full((SIZE, SIZE, 3), number % 256, np.uint8)
                writer["train"].write(records.serialize(image, number, f"{number:064d}"))


def read(directory, count, batch_size, seed=None):
    dataset = input_pipeline.batches(
        directory, "train", examples=count, image_size=SIZE, batch_size=batch_size, shuffle_seed=seed
    )
    return [(images.numpy(), labels.numpy()) for images, labels in dataset]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("records")
    write(directory, 53)
    return directory


@given(batch_size=st.integers(1, 60))
@settings(max_examples=12, deadline=None)
def test_a_pass_holds_every_example_once_in_batches_that_differ_by_one_at_most(directory, batch_size):
    found = read(directory, 53, batch_size, seed=3)
    sizes = [len(labels) for _, labels in found]
    assert sorted(np.concatenate([labels for _, labels in found])) == list(range(53))
    assert len(found) == input_pipeline.steps(53, batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_images_stay_with_their_labels(directory):
    for images, labels in read(directory, 53, 16, seed=1):
        assert images.dtype == np.uint8
        assert images.shape == (len(labels), SIZE, SIZE, 3)
        np.testing.assert_array_equal(images[:, 0, 0, 0], labels)


def test_the_order_is_a_function_of_the_seed(directory):
    def order(seed):
        return np.concatenate([labels for _, labels in read(directory, 53, 8, seed)]).tolist()

    assert order(5) == order(5)
    assert order(5) != order(6)
    assert order(None) == [*range(0, 53, 2), *range(1, 53, 2)]  # the records' own order, shard after shard
