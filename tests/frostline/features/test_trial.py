"""The trial of bfloat16: which images it takes, how many, what it measures, and what it says."""

import re
import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from frostline.features import trial


def rows(counts, split="train"):
    """Manifest rows of classes of these sizes, with digests in no order of the classes."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    places = np.random.default_rng(1).permutation(len(labels)).tolist()
    return [
        {"sha256": f"{place:04d}", "label": label, "split": split} for place, label in zip(places, labels, strict=True)
    ]


def labels_of(chosen):
    return [row["label"] for row in chosen]


@pytest.mark.parametrize(
    ("passes", "images"), [(0, 0), (127, 0), (128, 32), (400, 32), (511, 32), (512, 64), (768, 96), (1_000_000, 96)]
)
def test_a_trial_takes_a_small_part_of_the_run_and_no_more_than_it_needs(passes, images):
    assert trial.size_for(passes) == images


def test_the_sample_does_not_depend_on_the_order_of_the_manifest_or_on_other_splits():
    training = rows([20, 20, 20])
    chosen = trial.ordered(training, 32)
    assert trial.ordered([*rows([9, 9], "validation"), *training[::-1], *rows([9], "test")], 32) == chosen
    assert len(chosen) == 60


def test_the_classes_take_turns_each_in_the_order_of_its_digests():
    chosen = trial.ordered(rows([5, 50, 3]), 32)
    assert np.bincount(labels_of(chosen[:32])).tolist() == [5, 24, 3]
    assert sorted(labels_of(chosen[:3])) == [0, 1, 2]
    own = [row["sha256"] for row in chosen if row["label"] == 1]
    assert own == sorted(own)


def test_of_many_classes_some_have_several_images_in_the_sample():
    chosen = trial.ordered(rows([3] * 500 + [9] * 500), 32)
    assert sorted(np.bincount(labels_of(chosen[:32]))[-500:].tolist())[-9:] == [0, *[4] * 8]
    assert len(chosen) == 6000


def test_small_classes_are_filled_up_with_others():
    chosen = trial.ordered(rows([2] * 40), 32)
    assert set(labels_of(chosen[:16])) == set(range(8))
    assert len(set(labels_of(chosen[:32]))) == 24  # 8 of two images each, and 16 more that begin


def test_a_copy_counts_once():
    training = rows([4, 4])
    assert len(trial.ordered([*training, *training], 32)) == 8


def features(images=32, shape=(2, 2, 6), apart=1.0):
    """Maps of two classes in float32, and the labels."""
    rng = np.random.default_rng(3)
    labels = np.arange(images) % 2
    found = rng.normal(size=(images, *shape)) + apart * labels.reshape(-1, *[1] * len(shape))
    return found.astype(np.float32), labels.tolist()


def compare(full, low, labels, batch=32):
    return trial.compare(
        ((full[start : start + batch], low[start : start + batch]) for start in range(0, len(full), batch)), labels
    )


def rounded(values):
    return values.astype(ml_dtypes.bfloat16).astype(np.float32)


def test_rounding_alone_is_harmless():
    full, labels = features()
    found = compare(full, rounded(full), labels)
    assert found["agrees"]
    assert found["images"] == 32
    assert 0 < found["noise"] < 0.005
    assert 0 < found["probe"]["shift"] < 0.01


def test_batches_make_no_difference():
    full, labels = features(images=70)
    once, often = (compare(full, rounded(full), labels, batch) for batch in (70, 32))
    assert often["noise"] == pytest.approx(once["noise"], rel=1e-12)
    assert often["probe"] == once["probe"]


@pytest.mark.parametrize("offset", [0, 100])
def test_noise_is_relative_to_the_spread_of_the_images_at_each_position(offset):
    full, labels = features()
    fixed = 50 * np.random.default_rng(0).normal(size=full.shape[1:]).astype(np.float32)  # all images have it
    full = full + fixed + np.float32(offset)
    low = full + np.float32(0.03) * np.random.default_rng(4).choice(np.array([-1, 1], np.float32), full.shape)
    expected = np.linalg.norm(low - full) / np.linalg.norm(full - full.mean(axis=0))
    assert compare(full, low, labels)["noise"] == pytest.approx(expected, rel=1e-4)


def test_each_measure_alone_can_refuse(monkeypatch):
    full, labels = features()
    low = full + np.float32(0.02) * np.random.default_rng(4).normal(size=full.shape).astype(np.float32)
    low[0] = full[1]
    low[1] = full[0]
    found = compare(full, low, labels)
    measured = {
        "MAX_NOISE": found["noise"],
        "MAX_SHIFT": found["probe"]["shift"],
        "MAX_LOST": found["probe"]["lost"],
    }
    assert all(measured.values())
    for name in measured:
        for other, value in measured.items():
            monkeypatch.setattr(trial, other, value * (0.999 if other == name else 1.001))
        assert not compare(full, low, labels)["agrees"], name
    for name, value in measured.items():
        monkeypatch.setattr(trial, name, value * 1.001)
    assert compare(full, low, labels)["agrees"]


def test_noise_that_pooling_hides_is_refused():
    full, labels = features(shape=(4, 4, 6))
    low = full.copy()
    low[:, ::2] += np.float32(0.3)
    low[:, 1::2] -= np.float32(0.3)
    found = compare(full, low, labels)
    assert found["probe"]["shift"] < 0.01
    assert not found["agrees"]


@pytest.mark.parametrize("images", [2, 3, 23])
def test_a_sample_too_small_for_a_probe_is_judged_by_a_tighter_limit_of_the_noise(images):
    full, labels = features(images=images)
    found = compare(full, rounded(full), labels)
    assert found["agrees"]
    assert "probe" not in found
    by = trial.MAX_NOISE_ALONE * np.linalg.norm(full - full.mean(axis=0)) / np.linalg.norm(full)
    assert compare(full, full * np.float32(1 + 0.99 * by), labels)["agrees"]
    assert not compare(full, full * np.float32(1 + 1.01 * by), labels)["agrees"]
    large = full + 1000
    assert not compare(large, rounded(large), labels)["agrees"]


def test_a_single_class_is_judged_so_too():
    full, _ = features()
    assert "probe" not in compare(full, rounded(full), [0] * 32)
    assert compare(full, rounded(full), [0] * 32)["agrees"]
    assert not compare(full + 1000, rounded(full + 1000), [0] * 32)["agrees"]


@pytest.mark.parametrize("images", [1, 40])
@pytest.mark.parametrize("value", [0.0, 0.1, 3e38])
def test_features_that_are_all_the_same_cannot_be_judged(images, value):
    same = np.full((images, 2, 2, 3), value, np.float32)
    found = compare(same, same, [place % 2 for place in range(images)])
    assert found == {"images": images, "agrees": False}
    assert re.fullmatch(r"on (1 image|40 images), all features are the same, so .*", trial.reason(found))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_features_that_are_not_finite_are_not_compared(wrong, which):
    full, labels = features()
    pair = [full, full.copy()]
    pair[which][7, 1, 0, 2] = wrong
    assert compare(*pair, labels) is None


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_neither_tiny_nor_huge_features_are_a_special_case(scale):
    full, labels = features()
    full *= np.float32(scale)
    assert compare(full, rounded(full), labels)["agrees"]


def test_only_one_batch_of_maps_is_held():
    shape = (32, 32, 32, 8)  # 1 MB a batch
    made = []

    def parts():
        for seed in range(8):
            full = np.random.default_rng(seed).random(shape, np.float32)
            made.append(full.nbytes)
            yield full, full + np.float32(0.001)

    tracemalloc.start()
    trial.compare(parts(), [place % 2 for place in range(8 * 32)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * made[0] < sum(made)


def test_what_is_measured_is_said_with_its_limits():
    full, labels = features()
    assert re.fullmatch(
        r"on 32 images, bfloat16 moves the features by 0\.\d+ % of what tells images apart \(limit 10 %\) and what a "
        r"linear probe says of images left out by 0\.\d+ % \(limit 10 %\); 0 predictions change, with 0 % of all "
        r"margins \(limit 2 %\)",
        trial.reason(compare(full, rounded(full), labels)),
    )
    one = {"images": 40, "noise": 0.1, "probe": {"shift": 0.2, "changed": 1, "lost": 0.034}, "agrees": False}
    assert trial.reason(one).endswith("; 1 prediction changes, with 3.4 % of all margins (limit 2 %)")
    assert re.fullmatch(
        r"on 4 images, bfloat16 moves the features by 0\.\d+ % of what tells images apart \(limit 5 %\); a linear "
        r"probe needs 24 images of classes with several",
        trial.reason(compare(full[:4], rounded(full[:4]), labels[:4])),
    )
