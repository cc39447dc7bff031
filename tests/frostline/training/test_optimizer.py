"""Optimizers of a phase against Keras' own; schedules; clipping on one and on two replicas."""

import math
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf

from frostline.errors import ConfigError
from frostline.training import optimizer, variables
from frostline.training.config import TrainingConfig

from tests.support import processes

STEPS = 8
RATE = 0.05
CONFIGS = {
    "adam": TrainingConfig(),
    "adamw": TrainingConfig(optimizer="adamw", weight_decay=0.3),
    "sgd": TrainingConfig(optimizer="sgd", momentum=0.8),
    "adam, cosine": TrainingConfig(schedule="cosine"),
    "adamw, cosine": TrainingConfig(optimizer="adamw", weight_decay=0.3, schedule="cosine", warmup_steps=3),
    "sgd, cosine": TrainingConfig(optimizer="sgd", schedule="cosine", warmup_steps=1),
}


def network():
    """Two kernels, their biases, a BatchNorm; `low` gets gradients through `norm`, as in a backbone."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input([3]),
            keras.layers.Dense(4, name="low", bias_initializer="ones"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(2, name="top", bias_initializer="ones"),
        ],
        name="net",
    )


def gradients(model, step, size=1.0):
    random = np.random.default_rng([7, step])
    return [tf.constant(size * random.normal(size=v.shape), tf.float32) for v in model.trainable_variables]


def train(model, made, steps=range(STEPS), size=1.0):
    apply = tf.function(lambda *parts: made.apply(parts, model.trainable_variables))
    for step in steps:
        apply(*gradients(model, step, size))
    return [variable.numpy() for variable in model.trainable_variables]


def own(config, learning_rate, model):
    """What Keras has for this configuration, with one learning rate for all layers and decay of kernels only."""
    rate = learning_rate
    if config.schedule == "cosine":
        warm = {"warmup_target": rate, "warmup_steps": config.warmup_steps} if config.warmup_steps else {}
        first = rate / (config.warmup_steps + 1)
        rate = keras.optimizers.schedules.CosineDecay(first if warm else rate, STEPS - config.warmup_steps, **warm)
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=config.momentum, nesterov=True)
    if config.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    made = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)
    made.exclude_from_weight_decay([v for v in model.trainable_variables if v.name in ("bias", "gamma", "beta")])
    return made


@pytest.mark.parametrize("name", CONFIGS)
def test_steps_are_those_of_keras_bit_for_bit_where_no_layer_has_a_scale(name):
    config, ours, theirs = CONFIGS[name], network(), network()
    start = [variable.numpy() for variable in ours.trainable_variables]
    found = train(ours, optimizer.make(config, RATE, STEPS, ours, {}))
    expected = train(theirs, own(config, RATE, theirs))
    for before, after, reference in zip(start, found, expected, strict=True):
        assert after.tobytes() == reference.tobytes()
        assert np.abs(after - before).min() > 0


@pytest.mark.parametrize("name", ["adam", "adamw, cosine", "sgd, cosine"])
def test_a_layer_trains_as_if_its_scale_were_part_of_the_learning_rate(name):
    config, ours, whole, half = CONFIGS[name], network(), network(), network()
    found = train(ours, optimizer.make(config, RATE, STEPS, ours, {"low": 0.5, "norm": 0.5}))
    at_half, at_whole = train(half, own(config, RATE / 2, half)), train(whole, own(config, RATE, whole))
    for after, reference in zip(found, at_half[:4] + at_whole[4:], strict=True):
        np.testing.assert_allclose(after, reference, rtol=1e-6, atol=1e-7)


def test_weight_decay_takes_kernels_and_leaves_biases_and_batch_norm_alone():
    model = network()
    start = {variable.path: variable.numpy() for variable in model.trainable_variables}
    made = optimizer.make(CONFIGS["adamw"], RATE, STEPS, model, {"low": 0.5})
    train(model, made, steps=[0], size=0.0)
    share = {"net/low/kernel": 1 - 0.3 * RATE / 2, "net/top/kernel": 1 - 0.3 * RATE}
    for variable in model.trainable_variables:
        expected = start[variable.path] * share.get(variable.path, 1.0)
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6)
    assert set(share) < set(start)


@pytest.mark.parametrize(("name", "slots"), [("adam", 2), ("adamw", 2), ("sgd", 1)])
def test_only_what_trains_has_slots(name, slots):
    model = network()
    model.get_layer("low").trainable = False
    model.get_layer("norm").trainable = False
    made = optimizer.make(CONFIGS[name], RATE, STEPS, model, {})
    assert [variable.path for variable in made._trainable_variables] == ["net/top/kernel", "net/top/bias"]
    assert len(made.variables) == 2 + 2 * slots  # and the learning rate, and the count of steps


@pytest.mark.parametrize("name", ["adam", "adamw, cosine", "sgd, cosine"])
def test_an_optimizer_whose_variables_are_put_back_goes_on_in_the_same_bits(name):
    model = network()
    whole = train(model, optimizer.make(CONFIGS[name], RATE, STEPS, model, {"low": 0.5}))
    model = network()
    first = optimizer.make(CONFIGS[name], RATE, STEPS, model, {"low": 0.5})
    train(model, first, range(5))
    kept = variables.take(first.variables, "optimizer")
    second = optimizer.make(CONFIGS[name], RATE, STEPS, model, {"low": 0.5})
    variables.put(second.variables, "optimizer", kept)
    for after, reference in zip(train(model, second, range(5, STEPS)), whole, strict=True):
        assert after.tobytes() == reference.tobytes()


def rates(config, steps):
    model = network()
    made = optimizer.make(config, RATE, steps, model, {})
    found = []
    for step in range(steps):
        found.append(float(made.learning_rate))
        made.apply(gradients(model, step), model.trainable_variables)
    return found, float(made.learning_rate)


def test_a_learning_rate_stays_or_falls_to_nothing_over_the_phase():
    assert rates(TrainingConfig(), 4) == (pytest.approx([RATE] * 4), pytest.approx(RATE))
    found, after = rates(TrainingConfig(schedule="cosine"), 10)
    assert found == pytest.approx([RATE * (1 + math.cos(math.pi * step / 10)) / 2 for step in range(10)], abs=1e-8)
    assert after == pytest.approx(0.0, abs=1e-8)


def test_every_step_of_a_warm_up_trains_and_is_part_of_the_phase():
    found, after = rates(TrainingConfig(schedule="cosine", warmup_steps=4), 10)
    rising = [RATE * step / 5 for step in range(1, 5)]
    falling = [RATE * (1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]
    assert found == pytest.approx(rising + falling, abs=1e-8)
    assert after == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("warmup", [10, 11])
def test_a_warm_up_that_takes_the_whole_phase_is_refused(warmup):
    with pytest.raises(ConfigError) as caught:
        optimizer.make(TrainingConfig(schedule="cosine", warmup_steps=warmup), RATE, 10, network(), {})
    message = f"training.warmup_steps: received {warmup}; the phase has 10 steps; warm-up must be shorter"
    assert str(caught.value) == message


def test_gradients_are_clipped_by_their_norm_over_all_weights():
    parts = [tf.constant([[3.0, 0.0]]), tf.constant([4.0])]  # norm 5
    assert [part.numpy().tolist() for part in optimizer.clipped(parts, 2.5)] == [[[1.5, 0.0]], [2.0]]
    assert [part.numpy().tolist() for part in optimizer.clipped(parts, 6.0)] == [[[3.0, 0.0]], [4.0]]


def test_no_limit_leaves_the_gradients_alone():
    parts = [tf.constant([[3.0, 0.0]]), tf.constant([4.0])]
    assert all(after is before for after, before in zip(optimizer.clipped(parts, 0.0), parts, strict=True))


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    """What the same steps give on one and on two logical CPUs."""
    root, found = tmp_path_factory.mktemp("optimizing"), {}
    for count in (1, 2):
        out = root / f"{count}.npz"
        subprocess.run(processes.command("optimizing", count, out), check=True, timeout=300)
        found[count] = dict(np.load(out))
    assert [int(found[count]["replicas"]) for count in (1, 2)] == [1, 2]
    return found


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("count", [1, 2])
def test_the_limit_holds_for_the_gradient_of_the_global_batch(replicas, name, count):
    raw, limited = (replicas[count][f"{name}/{kind}"] for kind in ("raw", "limited"))
    norms, limit = np.linalg.norm(raw, axis=1), float(replicas[count]["clip"])
    assert norms.max() > 2 * limit
    expected = raw * np.minimum(1.0, limit / norms)[:, None]
    np.testing.assert_allclose(limited, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["adamw", "constant", "sgd"])
def test_two_replicas_step_as_one_does_and_stay_alike(replicas, name):
    one, two = replicas[1], replicas[2]
    variables = [key for key in one if key.startswith(f"{name}/variable/")]
    assert len(variables) == {"adamw": 4 + 1 + 8, "constant": 4 + 2 + 8, "sgd": 4 + 2 + 4}[name]
    for key in variables:
        np.testing.assert_allclose(one[key], two[key], rtol=1e-4, atol=2e-6)
        assert two[key.replace("variable", "alike")]
