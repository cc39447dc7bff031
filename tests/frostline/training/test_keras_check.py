"""The pinned Keras passes the probe; one that is broken on purpose, in each way that breaks plans, is refused."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.random import seed_generator

from frostline.errors import FrostlineError
from frostline.freeze.phases import Phase
from frostline.model import backbones
from frostline.training import keras_check

NORM, DROPOUT = keras.layers.BatchNormalization, keras.layers.Dropout


def refusal():
    with pytest.raises(FrostlineError) as caught:
        keras_check.require_trustworthy_keras()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"Keras {keras.__version__}: ")
    assert message.endswith("install the Keras that frostline requires")
    assert caught.value.exit_code == 1
    return message


def test_the_pinned_keras_holds_plans_and_says_what_it_does_with_nested_models():
    line = keras_check.require_trustworthy_keras()
    assert line.startswith(f"Keras {keras.__version__} honours trainable=False")
    assert line.endswith(" is ignored, and not relied on")  # 3.16 will respect it


def broken_call(monkeypatch, layer, change):
    """Replace `call` of a layer's class by one that is given to the real one after `change`."""
    real = layer.call
    monkeypatch.setattr(layer, "call", lambda self, inputs, training=None, **rest: change(self, real, inputs, training))


def test_a_batch_norm_that_moves_its_statistics_though_frozen_is_refused(monkeypatch):
    """As in Keras 1, and in every framework where `trainable` means gradients only."""

    def ignores_trainable(self, real, inputs, training):
        if training:
            mean = tf.reduce_mean(inputs, axis=list(range(len(inputs.shape) - 1)))
            self.moving_mean.assign(0.5 * self.moving_mean + 0.5 * mean)
        return real(self, inputs, training=training)

    broken_call(monkeypatch, NORM, ignores_trainable)
    assert "a BatchNormalization with trainable=False changes in a training step" in refusal()


def test_an_ignored_training_argument_is_refused(monkeypatch):
    broken_call(monkeypatch, NORM, lambda self, real, inputs, training: real(self, inputs, training=True))
    assert "model(x, training=False) changes the statistics of BatchNormalization" in refusal()


def test_a_dropout_that_stays_on_is_refused(monkeypatch):
    broken_call(monkeypatch, DROPOUT, lambda self, real, inputs, training: real(self, inputs, training=True))
    assert "model(x, training=False) leaves Dropout on" in refusal()


def test_frozen_weights_among_the_trainable_ones_are_refused(monkeypatch):
    monkeypatch.setattr(keras.Model, "trainable_variables", property(lambda self: self.weights[:]))
    assert "a layer with trainable=False is in model.trainable_variables" in refusal()


def test_a_batch_norm_that_remembers_how_it_began_is_refused(monkeypatch):
    def remembers(self, real, inputs, training):
        if training is not None and not hasattr(self, "_began"):
            self._began = self.trainable
        return real(self, inputs, training=training and getattr(self, "_began", True))

    broken_call(monkeypatch, NORM, remembers)
    assert "does not change in a training step when it was set to True after a first phase" in refusal()


def test_trainable_variables_that_are_listed_once_and_for_all_are_refused(monkeypatch):
    """What `compile` did with them in Keras 2: a layer that thaws later is never trained."""
    real = keras.Model.trainable_variables
    listed = {}
    monkeypatch.setattr(
        keras.Model, "trainable_variables", property(lambda self: listed.setdefault(id(self), real.fget(self)))
    )
    assert "a layer with trainable=True does not change in a training step when it was set to True" in refusal()


def test_a_layer_that_does_not_thaw_is_refused(monkeypatch):
    trainable = keras.layers.Dense.trainable

    def set_once(self, value):
        self._was_frozen = getattr(self, "_was_frozen", False) or not value
        trainable.fset(self, value and not self._was_frozen)

    monkeypatch.setattr(keras.layers.Dense, "trainable", property(trainable.fget, set_once))
    assert "a layer with trainable=True does not change in a training step when it was set to True" in refusal()


def test_a_batch_norm_that_never_freezes_again_is_refused(monkeypatch):
    def once_free(self, real, inputs, training):
        self._free = getattr(self, "_free", False) or (bool(training) and self.trainable)
        if training and self._free:
            self.moving_mean.assign(0.5 * self.moving_mean + 1.0)
        return real(self, inputs, training=training)

    broken_call(monkeypatch, NORM, once_free)
    assert "a BatchNormalization with trainable=False changes in a training step when it was set to False" in refusal()


def test_nothing_global_is_left_behind():
    def next_things():
        """What the process would draw and name next, after the same start."""
        return (
            random.random(),
            np.random.random(),
            float(tf.random.uniform(())),
            keras.layers.Dense(1).name,
            keras.Sequential().name,
        )

    def seeded(work):
        keras.utils.set_random_seed(3)
        backbones.build("SmallConvNet", 16)  # resets the counters of names
        work()
        return next_things()

    assert seeded(keras_check.require_trustworthy_keras) == seeded(lambda: None)
    drawn = seed_generator.global_seed_generator().state.numpy()
    keras_check.require_trustworthy_keras()
    assert (seed_generator.global_seed_generator().state.numpy() == drawn).all()
    assert not tf.distribute.has_strategy()
    assert keras.config.floatx() == "float32"


def test_counters_of_names_are_left_as_they_are_after_a_refusal_too(monkeypatch):
    keras.layers.Dense(1)
    before = keras.layers.Dense(1).name
    broken_call(monkeypatch, DROPOUT, lambda self, real, inputs, training: real(self, inputs, training=True))
    refusal()
    prefix, _, number = before.rpartition("_")
    assert keras.layers.Dense(1).name == f"{prefix}_{int(number) + 1}"


@pytest.mark.parametrize("anew", [False, True])
def test_trainable_takes_effect_for_a_new_trainer_and_only_for_that(anew):
    """Why every phase makes a Trainer of its own: a traced step never looks at `trainable` again."""
    model = keras_check.small_model()
    norm = model.get_layer("probe_bn_above")
    phase = Phase(1, {}, 1, 0.1, frozenset(), "")

    def step(trainer):
        before = [weight.numpy() for weight in norm.weights]
        keras_check.train_step(trainer)
        return any((old != weight.numpy()).any() for old, weight in zip(before, norm.weights, strict=True))

    first = keras_check.trainer_of(model, phase)
    assert step(first)
    norm.trainable = False
    assert step(keras_check.trainer_of(model, phase) if anew else first) != anew
