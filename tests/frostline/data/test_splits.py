"""A split depends on content alone, and the fractions are the configured ones."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from frostline.data.splits import SPLITS, count, digest, split_of

DIGESTS = st.binary(max_size=40).map(lambda data: hashlib.sha256(data).hexdigest())
FRACTIONS = st.floats(0.0, 0.5, exclude_max=True)


def digest_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


@given(DIGESTS, FRACTIONS, FRACTIONS)
def test_every_image_has_one_split_and_keeps_it(sha256, validation, test):
    first = split_of(sha256, validation_fraction=validation, test_fraction=test)
    assert first in SPLITS
    assert split_of(sha256, validation_fraction=validation, test_fraction=test) == first


@given(DIGESTS, FRACTIONS, FRACTIONS, FRACTIONS)
def test_the_validation_fraction_never_moves_an_image_into_or_out_of_test(sha256, one, other, test):
    before = split_of(sha256, validation_fraction=one, test_fraction=test)
    after = split_of(sha256, validation_fraction=other, test_fraction=test)
    assert (before == "test") == (after == "test")


@given(DIGESTS, FRACTIONS)
def test_a_fraction_of_zero_is_empty(sha256, fraction):
    assert split_of(sha256, validation_fraction=0.0, test_fraction=fraction) != "validation"
    assert split_of(sha256, validation_fraction=fraction, test_fraction=0.0) != "test"


def test_the_fractions_hold_on_average():
    splits = [split_of(digest_of(number), validation_fraction=0.1, test_fraction=0.2) for number in range(20_000)]
    for split, fraction in (("test", 0.2), ("validation", 0.1), ("train", 0.7)):
        tolerance = 4 * (fraction * (1 - fraction) / 20_000) ** 0.5  # four standard deviations
        assert abs(splits.count(split) / 20_000 - fraction) < tolerance


def test_the_rule_is_pinned():
    """Another rule would move images between train and test for every registered champion."""
    found = [split_of(digest_of(number), validation_fraction=0.25, test_fraction=0.25) for number in range(16)]
    assert "".join(split[:2] for split in found) == "trtrvavatrtrvavatrvatrtrtetrtrtr"


def test_the_first_images_by_digest_are_not_all_of_one_split():
    """`ingest` takes the first N of a class by SHA-256, so that order must not depend on the split."""
    first = sorted(digest_of(number) for number in range(20_000))[:1000]
    found = [split_of(sha256, validation_fraction=0.0, test_fraction=0.2) for sha256 in first]
    assert 140 < found.count("test") < 260


def test_images_are_counted_by_split_and_label_zeros_included():
    rows = [{"label": label, "split": split} for label, split in ((0, "train"), (0, "train"), (1, "test"))]
    assert count(rows, ["cat", "dog"]) == {
        "train": {"cat": 2, "dog": 0},
        "validation": {"cat": 0, "dog": 0},
        "test": {"cat": 0, "dog": 1},
    }


def test_a_digest_is_of_images_and_labels_in_any_order():
    pairs = [(digest_of(number), number % 3) for number in range(9)]
    assert digest(pairs) == digest(iter(pairs[::-1]))
    for place, (sha256, label) in enumerate(pairs):
        changed = [*pairs[:place], (sha256, label + 1), *pairs[place + 1 :]]
        assert digest(changed) != digest(pairs) != digest(pairs[:place] + pairs[place + 1 :])
