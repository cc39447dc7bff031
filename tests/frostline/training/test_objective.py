"""The objective against Keras and scikit-learn."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from frostline.training.config import TrainingConfig
from frostline.training.objective import Objective

COUNTS = [2, 7, 1, 10]


@pytest.fixture
def batch():
    """Labels [20] of the counts above, and logits [20, 4]."""
    random = np.random.default_rng(3)
    return np.repeat(np.arange(4), COUNTS), random.normal(scale=3.0, size=(20, 4)).astype(np.float32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_losses_are_those_of_keras_with_label_smoothing(batch, smoothing):
    labels, logits = batch
    keras_loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, reduction=None)
    found = Objective(TrainingConfig(label_smoothing=smoothing), COUNTS).losses(labels, tf.constant(logits))
    np.testing.assert_allclose(found, keras_loss(tf.one_hot(labels, 4), logits), rtol=1e-6)


def test_without_options_losses_are_the_plain_cross_entropy(batch):
    labels, logits = batch
    objective = Objective(TrainingConfig(), COUNTS)
    np.testing.assert_allclose(
        objective.losses(labels, tf.constant(logits)), objective.plain(labels, tf.constant(logits)), rtol=1e-6
    )


def test_balanced_weights_are_those_of_scikit_learn(batch):
    labels, logits = batch
    objective = Objective(TrainingConfig(class_weights="balanced"), COUNTS)
    weights = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    losses, plain = (of(labels, tf.constant(logits)) for of in (objective.losses, objective.plain))
    np.testing.assert_allclose(losses, plain * weights[labels], rtol=1e-6)


def test_smoothing_and_weights_go_together(batch):
    labels, logits = batch
    both = Objective(TrainingConfig(class_weights="balanced", label_smoothing=0.2), COUNTS)
    smooth = Objective(TrainingConfig(label_smoothing=0.2), COUNTS)
    weights = 20 / (4 * np.array(COUNTS))
    found = both.losses(labels, tf.constant(logits))
    np.testing.assert_allclose(found, smooth.losses(labels, tf.constant(logits)) * weights[labels], rtol=1e-6)


def test_balanced_weights_have_the_mean_one_even_where_a_class_has_no_image():
    for counts in (COUNTS, [0, 5, 15], [4, 0, 0]):
        labels = np.repeat(np.arange(len(counts)), counts)
        objective = Objective(TrainingConfig(class_weights="balanced"), counts)
        level = tf.zeros([len(labels), len(counts)])  # every loss is log(classes)
        assert np.mean(objective.losses(labels, level)) == pytest.approx(np.log(len(counts)), rel=1e-6)


def test_a_class_without_a_training_image_weighs_nothing():
    objective = Objective(TrainingConfig(class_weights="balanced"), [0, 5, 15])
    assert objective.losses(np.array([0]), tf.zeros([1, 3])).numpy().tolist() == [0.0]


def test_validation_sees_neither_smoothing_nor_weights(batch):
    labels, logits = batch
    objective = Objective(TrainingConfig(class_weights="balanced", label_smoothing=0.2), COUNTS)
    keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    np.testing.assert_allclose(objective.plain(labels, tf.constant(logits)), keras_loss(labels, logits), rtol=1e-6)


def test_losses_of_low_precision_logits_are_computed_in_float32(batch):
    labels, logits = batch
    low = tf.cast(logits, tf.bfloat16)
    objective = Objective(TrainingConfig(label_smoothing=0.1, class_weights="balanced"), COUNTS)
    for of in (objective.losses, objective.plain):
        assert of(labels, low).dtype == tf.float32
        np.testing.assert_array_equal(of(labels, low), of(labels, tf.cast(low, tf.float32)))


def test_a_large_logit_gives_a_large_loss_and_no_infinity():
    objective = Objective(TrainingConfig(label_smoothing=0.1), [1, 1])
    logits = tf.constant([[1e4, -1e4]])
    assert objective.plain(np.array([1]), logits).numpy().tolist() == [2e4]
    assert objective.losses(np.array([1]), logits).numpy() == pytest.approx([0.95 * 2e4], rel=1e-6)


def test_the_right_ones_are_counted(batch):
    labels, logits = batch
    found = Objective(TrainingConfig(), COUNTS).number_correct(tf.constant(labels, tf.int64), tf.constant(logits))
    assert found.dtype == tf.int64
    assert found.shape == ()
    assert int(found) == int(np.sum(logits.argmax(axis=1) == labels)) > 0
