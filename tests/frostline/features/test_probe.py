"""The linear probe: what it takes for a difference, and what it does not."""

import ml_dtypes
import numpy as np
import pytest

from frostline.features import probe


def classified(images=48, channels=40, classes=3, apart=1.0):
    """Features of classes whose means are `apart`, with a deviation of 1, and their labels."""
    rng = np.random.default_rng(5)
    labels = np.arange(images) % classes
    means = apart * rng.normal(size=(classes, channels))
    return means[labels] + rng.normal(size=(images, channels)), labels


def bfloat16(features):
    return features.astype(ml_dtypes.bfloat16).astype(np.float64)


def noisy(features, deviation):
    return features + deviation * np.random.default_rng(6).normal(size=features.shape)


def test_equal_features_have_the_same_answers():
    full, labels = classified()
    assert probe.compare(full, full, labels) == {"shift": 0.0, "changed": 0, "lost": 0.0}


def test_the_shift_grows_with_the_noise_up_to_that_of_a_probe_that_knows_nothing():
    full, labels = classified()
    shifts = [probe.compare(full, noisy(full, by), labels)["shift"] for by in (0.003, 0.03, 0.3, 3.0)]
    assert shifts == sorted(shifts)
    assert shifts[0] < 0.01 < shifts[2]
    nothing = probe.compare(full, np.full_like(full, 0.1), labels)
    assert nothing["shift"] == pytest.approx(1.0)
    assert nothing["changed"] > 20
    assert nothing["lost"] > 0.5


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_neither_a_common_factor_nor_a_common_offset_changes_an_answer(factor):
    full, labels = classified()
    expected = probe.compare(full, noisy(full, 0.1), labels)["shift"]
    assert probe.compare(factor * full, factor * noisy(full, 0.1), labels)["shift"] == pytest.approx(expected)
    assert probe.compare(full + 9, noisy(full, 0.1) + 9, labels)["shift"] == pytest.approx(expected)


def test_it_is_judged_on_features_in_float32_as_serving_computes_them():
    """Where all features in low precision are off by the same, a probe fitted and judged on them would not notice."""
    full, labels = classified()
    assert probe.compare(full, full + 1, labels)["shift"] > 0.3
    assert probe.compare(full, 2 * full, labels)["shift"] > 0.3


def test_an_image_is_left_out_of_what_judges_it():
    """Labels that mean nothing: in 200 channels, a probe that had seen the images would know all 32 of them."""
    features, labels = np.random.default_rng(7).normal(size=(32, 200)), np.arange(32) % 2
    targets, folds = np.eye(2)[labels], probe._folds(labels)
    scores = probe._scores(features, features, targets, folds)
    assert np.mean(scores.argmax(axis=1) == labels) < 0.75


def test_images_of_a_class_are_in_different_folds():
    labels = np.array([0] * 9 + [1] * 3 + [2])
    folds = probe._folds(np.random.default_rng(0).permutation(labels))
    assert np.bincount(folds).tolist() == [2, 2, 2, 2, 2, 1, 1, 1]
    folds = probe._folds(labels)
    assert len(set(folds[:8])) == 8
    assert len(set(folds[9:12])) == 3
    folds = probe._folds(np.arange(32) % 8)
    assert all(len(set(folds[label::8])) == 4 for label in range(8))


def test_a_near_tie_that_changes_counts_little_and_a_clear_margin_much():
    full, labels = classified(apart=0.5)
    near = probe.compare(full, noisy(full, 0.05), labels)
    assert near["changed"] > 0
    assert near["lost"] < 0.1 * near["changed"] / 48
    low = full.copy()
    low[labels == 0], low[labels == 1] = full[labels == 1], full[labels == 0]
    clear = probe.compare(full, low, labels)
    assert clear["lost"] > 0.8 * clear["changed"] / 48 > 0.3


def test_differences_that_low_precision_loses_in_a_large_offset_are_missed():
    full, labels = classified()
    small, large = full + 1, full + 1000
    assert probe.compare(small, bfloat16(small), labels)["shift"] < 0.02
    assert np.linalg.norm(bfloat16(large) - large) / np.linalg.norm(large) < 0.002
    assert probe.compare(large, bfloat16(large), labels)["shift"] > 0.5
    assert probe.compare(full + 3e4, bfloat16(full + 3e4), labels)["lost"] > 0.3


def test_channels_that_hardly_vary_are_not_magnified():
    full, labels = classified()
    rare = np.zeros((48, 40))
    rare[4, :20], rare[7, 20:] = 1e-6, 2e-6
    low = np.concatenate([full, 1.1 * rare], axis=1)
    assert probe.compare(np.concatenate([full, rare], axis=1), low, labels)["shift"] < 1e-3


def test_but_a_class_that_few_channels_show_is_not_overlooked():
    full, labels = classified(apart=0.0)
    full[:, 0] = 0.3 * labels  # varies less than all others
    low = full.copy()
    low[:, 0] = 0.3
    assert probe.compare(full, low, labels)["shift"] > 0.3


@pytest.mark.parametrize(
    "labels",
    [
        [0] * 40,
        list(range(40)),
        [0] * 39 + [1],
        [0, 1] * 11 + list(range(2, 20)),  # 22 of classes with several
        [0, 1],
        [0],
    ],
)
def test_no_answer_is_given_where_it_would_not_be_fair(labels):
    features = np.random.default_rng(0).normal(size=(len(labels), 5))
    assert probe.compare(features, features, np.array(labels)) is None


@pytest.mark.parametrize(
    ("labels", "channels"),
    [([0, 1] * 12, 3), ([0] * 60 + [1] * 4, 3), (list(range(24)) * 2, 300), ([7, 900] * 12 + [3], 1)],
)
def test_few_images_many_classes_and_unequal_ones_are_compared(labels, channels):
    features = np.random.default_rng(0).normal(size=(len(labels), channels))
    assert probe.compare(features, features, np.array(labels))["shift"] == 0.0
    assert probe.compare(features, np.zeros_like(features), np.array(labels))["shift"] == pytest.approx(1.0)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30])
def test_features_that_are_all_the_same_say_nothing(value):
    same = np.full((33, 4), value)
    assert probe.compare(same, noisy(same, 0.1), np.arange(33) % 2) is None
