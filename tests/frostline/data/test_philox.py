"""Random numbers: the published answers of the generator, and TensorFlow's bits."""

import numpy as np
import pytest
import tensorflow as tf

from frostline.data import philox

SEEDS = np.array([[0, 0], [1, 2], [-1, 2**63 - 1], [-(2**63), 5], [2**32, -(2**32)], [123456789012, 7]], np.int64)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_a_block_is_what_its_authors_publish(counter, key, expected):
    """From `tests/kat_vectors` of Random123."""
    words = [np.array([[int(word, 16)] for word in text.split()], np.uint64) for text in (counter, key)]
    assert " ".join(f"{int(word):08x}" for [word] in philox.block(*words)) == expected


@pytest.mark.parametrize("count", [1, 4, 7, 13])
def test_uniform_numbers_are_tensorflows(count):
    expected = [tf.random.stateless_uniform([count], seed, alg="philox").numpy() for seed in SEEDS]
    found = philox.uniform(SEEDS, count)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, -(2**63), 2**32])
def test_a_seed_with_a_number_folded_in_is_tensorflows(number):
    folded = (
        tf.random.experimental.stateless_fold_in(seed, tf.constant(number, tf.int64), alg="philox") for seed in SEEDS
    )
    found = philox.fold_in(SEEDS, np.full(len(SEEDS), number, np.int64))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, list(folded))


def test_no_seeds_give_no_numbers():
    assert philox.uniform(np.zeros((0, 2), np.int64), 7).shape == (0, 7)
    assert philox.fold_in(np.zeros((0, 2), np.int64), np.zeros(0, np.int64)).shape == (0, 2)
