"""Random numbers as functions of a seed, for many seeds at once: TensorFlow's stateless generator "philox", in NumPy.

TensorFlow draws for one seed per operation, which costs more than the numbers of an image are worth. The bits are those
of `tf.random.experimental.stateless_fold_in` and `tf.random.stateless_uniform` with `alg="philox"`.

Source of the generator, Philox4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011. Source of the use of seeds: `tensorflow/core/kernels/stateless_random_ops.cc`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 10
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_SCRAMBLING_KEY = (0x3EC8F720, 0x02461E29)  # TensorFlow's, with which it makes key and counter from a seed
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_WORDS = 4  # of 32 bits in a block


def fold_in(seeds: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Make a new seed of each seed and a number.

    Args:
        seeds: [n, 2] int64.
        numbers: [n] int64.

    Returns:
        [n, 2] int64.
    """
    low, high = _words(seeds, 1)[:2]
    return np.stack([(low | (high << _HALF)).view(np.int64), numbers], axis=1)


def uniform(seeds: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Draw numbers in [0, 1) from the stream of each seed: multiples of 2^-23.

    Args:
        seeds: [n, 2] int64.
        count: how many for each seed.

    Returns:
        [n, count] float32.
    """
    words = _words(seeds, -(-count // _WORDS))[:count].T.astype(np.uint32)
    return ((words & np.uint32(0x7FFFFF)) | np.uint32(0x3F800000)).view(np.float32) - np.float32(1)


def _words(seeds: NDArray[np.int64], blocks: int) -> NDArray[np.uint64]:
    """The first words of each seed's stream: [4 * blocks, n] uint64, each below 2^32."""
    first, second = seeds.T.copy().view(np.uint64)
    key_0, key_1, *start = block(
        np.stack([first & _LOW, first >> _HALF, second & _LOW, second >> _HALF]),
        np.array(_SCRAMBLING_KEY, np.uint64)[:, None],
    )
    zero = np.zeros_like(first)
    counters = (np.stack([zero + np.uint64(number), zero, *start]) for number in range(blocks))
    return np.concatenate([block(counter, np.stack([key_0, key_1])) for counter in counters])


def block(counters: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Philox4x32-10: the words at these counters of the streams with these keys.

    Args:
        counters: [4, n] uint64, words below 2^32, the lowest first.
        keys: [2, n] or [2, 1] uint64, words below 2^32.

    Returns:
        [4, n] uint64, words below 2^32.
    """
    (word_0, word_1, word_2, word_3), (key_0, key_1) = counters, keys
    for _ in range(_ROUNDS):
        left, right = word_0 * _MULTIPLIERS[0], word_2 * _MULTIPLIERS[1]
        word_0, word_1 = (right >> _HALF) ^ word_1 ^ key_0, right & _LOW
        word_2, word_3 = (left >> _HALF) ^ word_3 ^ key_1, left & _LOW
        key_0, key_1 = (key_0 + _KEY_STEPS[0]) & _LOW, (key_1 + _KEY_STEPS[1]) & _LOW
    return np.stack([word_0, word_1, word_2, word_3])
