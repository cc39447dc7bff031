"""What counts as agreement of features in low precision with those in float32."""

import numpy as np
import pytest

from frostline.features import precision

CLASSES = np.eye(2, 3, dtype=np.float32)  # mean features of two classes: [1, 0, 0] and [0, 1, 0]
LABELS = np.arange(200) % 2


def features():
    """[200, 3]: every image exactly at its class's mean."""
    return CLASSES[LABELS].copy()


def test_equal_features_agree():
    found = precision.compare(features(), features(), LABELS)
    assert found == {"images": 200, "relative_l2": 0.0, "agreement": 1.0, "agrees": True}


def test_the_difference_is_relative_to_the_length_of_the_features():
    found = precision.compare(100 * features(), 100 * features() * np.float32(1.005), LABELS)
    assert found["relative_l2"] == pytest.approx(0.005, rel=1e-3)
    assert found["agrees"]
    assert not precision.compare(features(), features() * np.float32(1.02), LABELS)["agrees"]


def test_predictions_that_differ_are_counted_by_image():
    low = features()
    low[:2] = low[:2, [1, 0, 2]]  # two images of 200 change sides
    found = precision.compare(features(), low, LABELS)
    assert found["agreement"] == pytest.approx(0.99)
    assert not found["agrees"]  # for the distance: sqrt(4 / 200)
    assert found["relative_l2"] == pytest.approx(np.sqrt(4 / 200))


def test_few_predictions_that_differ_are_enough_to_disagree_though_features_are_near():
    full = features()
    full[:4] = [0.501, 0.499, 0.0]
    full[4:8] = [0.499, 0.501, 0.0]
    low = full.copy()
    low[:4] = [0.499, 0.501, 0.0]
    found = precision.compare(full, low, LABELS)
    assert found["relative_l2"] < precision.MAX_RELATIVE_L2
    assert found["agreement"] == pytest.approx(0.98)
    assert not found["agrees"]


def test_maps_are_pooled_over_their_positions_before_they_are_told_apart():
    maps = np.repeat(features()[:, None, None], 4, axis=2).reshape(200, 2, 2, 3)
    shuffled = maps.copy()
    shuffled[:, 0, 0] += np.float32(0.003)
    shuffled[:, 1, 1] -= np.float32(0.003)
    found = precision.compare(maps, shuffled, LABELS)
    assert found["agreement"] == 1.0
    assert found["relative_l2"] > 0


def test_features_that_are_all_zero_and_labels_with_gaps_are_no_special_case():
    assert precision.compare(np.zeros((4, 3), np.float32), np.zeros((4, 3), np.float32), LABELS[:4])["agrees"]
    assert precision.compare(features(), features(), LABELS * 7 + 2)["agrees"]
