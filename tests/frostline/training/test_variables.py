"""Values of variables as arrays and back: every bit of them, on every replica."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from frostline.errors import DataError
from frostline.training import variables


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(4, name="low"), keras.layers.BatchNormalization(name="bn"), keras.layers.Dropout(0.5)]
    return keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(2, name="top")])


def test_what_was_taken_is_put_back_bit_for_bit(model):
    taken = variables.take(model.variables, "model")
    assert sorted(taken) == sorted(f"model/{index}/0" for index in range(len(model.variables)))
    before = [variable.numpy().tobytes() for variable in model.variables]
    for variable in model.weights:
        variable.assign(variable + 1)
    assert [variable.numpy().tobytes() for variable in model.variables] != before
    variables.put(model.variables, "model", taken)
    assert [variable.numpy().tobytes() for variable in model.variables] == before


def test_a_snapshot_is_a_copy_that_later_steps_do_not_change(model):
    taken = variables.take(model.variables, "model")
    first = taken["model/0/0"].copy()
    model.variables[0].value.assign_add(tf.ones([3, 4]))  # in place
    np.testing.assert_array_equal(taken["model/0/0"], first)


def test_bits_that_are_no_numbers_and_negative_zero_are_kept():
    odd = tf.Variable(np.array([np.nan, -np.inf, -0.0, 1e-45], np.float32))
    taken = variables.take([odd, keras.Variable(np.int64(7), dtype="int64")], "odd")
    bits = odd.numpy().tobytes()
    odd.assign(tf.zeros(4))
    variables.put([odd, keras.Variable(np.int64(0), dtype="int64")], "odd", taken)
    assert odd.numpy().tobytes() == bits


def test_an_optimizers_slots_and_counter_come_back_too(model):
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    gradients = [tf.ones(variable.shape) for variable in model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables)
    both = [*model.variables, *optimizer.variables]
    taken = variables.take(both, "all")

    def next_step():
        optimizer.apply(gradients, model.trainable_variables)
        return [variable.numpy().tobytes() for variable in both]

    first = next_step()
    assert next_step() != first
    variables.put(both, "all", taken)
    assert next_step() == first


def test_a_missing_value_or_another_shape_is_named_in_one_line(model):
    taken = variables.take(model.variables, "model")
    without = {name: value for name, value in taken.items() if name != "model/1/0"}
    with pytest.raises(DataError, match=r"model/1: the checkpoint has no value of shape \(4,\)$"):
        variables.put(model.variables, "model", without)
    with pytest.raises(DataError, match=r"model/0: the checkpoint has no value of shape \(3, 4\)$"):
        variables.put(model.variables, "model", {**taken, "model/0/0": np.zeros((4, 3), np.float32)})
    with pytest.raises(DataError, match="best/0"):
        variables.put(model.variables, "best", taken)


def test_what_moves_is_everything_but_the_layers_that_are_still_seeds_included(model):
    moving = variables.movable(model, {"low", "bn"})
    assert [id(variable) for variable in moving] == [
        id(variable) for layer in model.layers[2:] for variable in layer.variables
    ]
    assert any("seed" in variable.path for variable in moving)  # of Dropout's random numbers
    assert len(variables.movable(model, ())) == len(model.variables)
    [counter] = variables.movable(
        model, {layer.name for layer in model.layers}
    )  # noise is drawn in a frozen layer, too
    assert "seed" in counter.path


def test_replicas_that_differ_by_a_bit_are_kept_apart_and_of_those_that_agree_only_the_first_is_fetched():
    script = """
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from frostline.training import variables
from frostline.training.strategy import mirrored
with mirrored().scope():
    same, own = keras.Variable([1.0, 2.0]), keras.Variable([3.0, 4.0])
    nan, zero = keras.Variable([float("nan")]), keras.Variable([0.0])
variables.copies(own)[1].assign([5.0, 6.0])
taken = variables.take([same, own], "model")
variables.copies(zero)[1].assign([-0.0])
fetched, array = [], np.array
np.array = lambda value: fetched.append(value.device[-5:]) or array(value)
odd = variables.take([same, nan, zero], "odd")
np.array = array
for variable in (same, own):
    for copy in variables.copies(variable):
        copy.assign([0.0, 0.0])
variables.put([same, own], "model", taken)
print(sorted(taken), [copy.numpy().tolist() for variable in (same, own) for copy in variables.copies(variable)])
print(sorted(odd), fetched)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    expected = "['model/0/0', 'model/1/0', 'model/1/1'] [[1.0, 2.0], [1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]\n"
    expected += "['odd/0/0', 'odd/1/0', 'odd/2/0', 'odd/2/1'] ['CPU:0', 'CPU:0', 'CPU:0', 'CPU:1']\n"
    assert ended.stdout == expected, ended.stderr[-2000:]
