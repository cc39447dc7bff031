"""How much of a set of images another set has: exactly for small sets, closely for large ones."""

import hashlib

import pytest

from frostline.registry.sketches import KEPT, overlap, sketch


def images(first, last):
    return {hashlib.sha256(str(number).encode()).hexdigest() for number in range(first, last)}


def shared(mine, theirs):
    return overlap(len(mine), sketch(mine), len(theirs), sketch(theirs))


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ((0, 100), (0, 100), 1.0),
        ((0, 100), (100, 200), 0.0),
        ((0, 100), (50, 200), 0.5),
        ((0, 100), (0, 200), 1.0),
        ((0, 200), (0, 100), 0.5),
        ((0, 1), (0, KEPT), 1.0),
        ((0, 128), (64, 192), 0.5),
    ],
)
def test_of_small_sets_the_overlap_is_exact(mine, theirs, expected):
    assert shared(images(*mine), images(*theirs)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("common", [0.0, 0.05, 0.5, 0.95, 0.9995, 1.0])
@pytest.mark.parametrize("size", [2_000, 20_000])
def test_of_large_sets_it_is_close(size, common):
    start = round(size * (1 - common))
    found = shared(images(0, size), images(start, start + size))
    assert found == pytest.approx(common, abs=0.13)
    if common in (0.0, 1.0):
        assert found == common


@pytest.mark.parametrize(("mine", "theirs"), [((0, 5_000), (0, 500)), ((0, 500), (0, 5_000)), ((0, 50), (0, 5_000))])
def test_a_set_inside_a_larger_one_is_found_inside(mine, theirs):
    expected = min(1.0, theirs[1] / mine[1])
    assert shared(images(*mine), images(*theirs)) == pytest.approx(expected, abs=0.1)


def test_one_added_image_changes_next_to_nothing():
    assert shared(images(0, 2_001), images(0, 2_000)) > 0.99


def test_a_sketch_is_small_sorted_and_of_the_set_alone():
    names = sorted(images(0, 3_000))
    found = sketch(names)
    assert found == sketch(reversed(names)) == sketch([*names, *names]) == sorted(found)
    assert len(found) == KEPT


def test_what_the_sketches_cannot_tell_counts_as_shared():
    few, many = images(0, 3), images(10, 100_000)
    assert shared(few, many) == 1.0  # none of the three is among the smallest of so many
    assert shared(few, images(10, 200)) == 0.0
