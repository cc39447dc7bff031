"""Masks by step: the same on any split of the global batch, and everything else about Dropout as Keras has it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from frostline.model import backbones, head
from frostline.model.config import HeadConfig
from frostline.training import dropout

ROWS = 12


def drawn(model, inputs, *, seed=0, step=0, splits=(ROWS,)):
    """What a model gives while training, on the global batch dealt out in contiguous parts."""
    outputs, start = [], 0
    for rows in splits:
        places = tf.range(start, start + rows, dtype=tf.int64)
        with dropout.masks(seed, tf.constant(step, tf.int64), places, tf.constant(ROWS, tf.int64)):
            outputs.append(model(inputs[start : start + rows], training=True).numpy())
        start += rows
    return np.concatenate(outputs)


def ones(*shape):
    return np.ones((ROWS, *shape), np.float32)


def network(*layers, shape):
    image = keras.Input(shape)
    x = image
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x)


def by_step(model):
    replaced, counting = dropout.by_step(model)
    assert counting == []
    return replaced


@pytest.fixture(scope="module")
def one():
    return by_step(network(keras.layers.Dropout(0.4), shape=(50,)))


@pytest.mark.parametrize("splits", [(6, 6), (5, 4, 3), (1,) * ROWS])
def test_masks_are_equal_on_any_split_of_the_global_batch(one, splits):
    whole = drawn(one, ones(50), step=7)
    assert drawn(one, ones(50), step=7, splits=splits).tobytes() == whole.tobytes()
    assert len({row.tobytes() for row in whole}) == ROWS  # and no two rows of it are alike


def test_masks_differ_by_step_by_seed_and_by_layer(one):
    two = by_step(network(keras.layers.Dropout(0.4), keras.layers.Dropout(0.4), shape=(2000,)))
    first = drawn(one, ones(50))
    assert not np.array_equal(first, drawn(one, ones(50), step=1))
    assert not np.array_equal(first, drawn(one, ones(50), seed=1))
    assert np.array_equal(first, drawn(one, ones(50)))
    kept = (drawn(two, ones(2000)) > 0).mean()  # with one mask for both layers it would be 0.6
    assert abs(kept - 0.36) < 0.01


def test_the_share_dropped_is_the_rate_and_the_mean_stays(one):
    inputs = 2 * ones(50)
    found = np.stack([drawn(one, inputs, step=step) for step in range(100)])  # 60,000 draws
    assert set(np.unique(found)) == {np.float32(0), np.float32(2) / np.float32(0.6)}
    assert abs((found == 0).mean() - 0.4) < 0.01
    assert abs(found.mean() - 2) < 0.03
    assert abs((found == 0).mean(axis=(0, 2)) - 0.4).max() < 0.05  # of each row
    assert abs((found == 0).mean(axis=(0, 1)) - 0.4).max() < 0.1  # of each column


def test_whole_channels_go_where_keras_drops_whole_channels():
    model = by_step(network(keras.layers.SpatialDropout2D(0.5), shape=(3, 4, 20)))
    found = drawn(model, ones(3, 4, 20))
    assert (found == found[:, :1, :1]).all()
    assert 0.3 < (found[:, 0, 0] == 0).mean() < 0.7
    assert drawn(model, ones(3, 4, 20), splits=(7, 5)).tobytes() == found.tobytes()


def test_a_noise_shape_says_which_values_go_together():
    rows = by_step(network(keras.layers.Dropout(0.5, noise_shape=(None, 1, 1)), shape=(3, 4)))
    found = drawn(rows, ones(3, 4), splits=(7, 5))
    assert (found == found[:, :1, :1]).all()
    assert 0 < (found[:, 0, 0] == 0).sum() < ROWS
    assert found.tobytes() == drawn(rows, ones(3, 4)).tobytes()
    together = by_step(network(keras.layers.Dropout(0.5, noise_shape=(1, 40)), shape=(40,)))
    found = drawn(together, ones(40), splits=(4, 8))
    assert (found == found[:1]).all()
    assert 0 < (found[0] == 0).sum() < 40


def test_without_training_nothing_is_dropped(one):
    inputs = np.random.default_rng(0).normal(size=(ROWS, 50)).astype(np.float32)
    assert one(inputs, training=False).numpy().tobytes() == inputs.tobytes()
    assert one(inputs).numpy().tobytes() == inputs.tobytes()


def test_gradients_flow_through_what_is_kept_only(one):
    inputs = tf.Variable(ones(50))
    places, size = tf.range(ROWS, dtype=tf.int64), tf.constant(ROWS, tf.int64)
    with dropout.masks(0, tf.constant(0, tf.int64), places, size), tf.GradientTape() as tape:
        total = tf.reduce_sum(one(inputs, training=True))
    np.testing.assert_allclose(tape.gradient(total, inputs), drawn(one, ones(50)))


def test_the_step_is_read_each_time_a_traced_function_runs(one):
    @tf.function
    def run(step):
        with dropout.masks(0, step, tf.range(ROWS, dtype=tf.int64), tf.constant(ROWS, tf.int64)):
            return one(ones(50), training=True)

    for step in (0, 1, 5):
        assert run(tf.constant(step, tf.int64)).numpy().tobytes() == drawn(one, ones(50), step=step).tobytes()


def test_the_model_that_is_saved_is_the_one_with_keras_own_layers(tmp_path):
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(4, name="dense")
    model = network(keras.layers.Dropout(0.5, name="drop"), dense, shape=(50,))
    replaced = by_step(model)
    assert replaced.get_layer("dense") is dense  # what is trained in one is trained in the other
    inputs = np.random.default_rng(0).normal(size=(ROWS, 50)).astype(np.float32)
    before = model(inputs).numpy()
    drawn(replaced, inputs)
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(reloaded.get_layer("drop")) is keras.layers.Dropout
    assert model(inputs).numpy().tobytes() == reloaded(inputs).numpy().tobytes() == before.tobytes()
    assert not np.array_equal(model(inputs, training=True), before)


def test_layers_that_draw_from_a_counter_of_their_own_are_named():
    inner = keras.Sequential([keras.layers.Dropout(0.5)], name="nested")
    noise = keras.layers.GaussianNoise(0.1, name="noise")
    _, counting = dropout.by_step(network(noise, inner, keras.layers.Dropout(0.5), keras.layers.Dense(2), shape=(5,)))
    assert counting == ["noise", "nested"]


def test_a_model_without_dropout_or_with_a_rate_of_zero_is_left_as_it_is():
    for layers in ([keras.layers.Dense(2)], [keras.layers.Dropout(0.0), keras.layers.Dense(2)]):
        model = network(*layers, shape=(5,))
        assert dropout.by_step(model) == (model, [])


def test_inputs_in_low_precision_stay_in_it():
    model = by_step(network(keras.layers.Dropout(0.5, dtype="mixed_bfloat16"), shape=(50,)))
    found = drawn(model, ones(50))
    assert set(np.unique(found.astype(np.float32))) == {0.0, 2.0}
    assert found.dtype == "bfloat16"


def test_a_backbone_with_dropout_inside_gives_the_same_on_any_split():
    keras.utils.set_random_seed(0)
    model = head.attach(backbones.build("EfficientNetV2B0", 64), HeadConfig(dropout=0.3), 3)
    outputs = {operation.name: operation.output for operation in model.operations}
    suffix = keras.Model(outputs["block6b_add"], outputs[head.LOGITS])
    for layer in suffix.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    replaced = by_step(suffix)
    assert sum(isinstance(layer, dropout.StepDropout) for layer in replaced.layers) > 2  # not the head's alone
    inputs = np.random.default_rng(0).normal(size=(ROWS, *suffix.input.shape[1:])).astype(np.float32)
    whole = drawn(replaced, inputs)
    np.testing.assert_allclose(drawn(replaced, inputs, splits=(6, 6)), whole, atol=1e-5)
    assert np.abs(drawn(replaced, inputs, step=1) - whole).max() > 1e-2
    np.testing.assert_allclose(replaced(inputs), suffix(inputs), atol=1e-6)
