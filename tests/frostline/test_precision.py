"""Low precision: where it is switched on, that it is switched off again, and what counts as agreement."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from frostline import precision

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


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, name="inside")], name="nested")
    half = keras.layers.Dense(4, name="half", dtype="float16")
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(6, name="low"), inner, half])


def policies(model):
    return [part.dtype_policy.name for part in model._flatten_layers()]


def test_layers_and_those_inside_compute_in_bfloat16_while_weights_stay_float32(model):
    with precision.low_precision(model.layers):
        assert model.get_layer("low").compute_dtype == "bfloat16"
        assert model.get_layer("nested").get_layer("inside").compute_dtype == "bfloat16"
        assert model.get_layer("half").compute_dtype == "float16"  # who chose a type keeps it
        assert model.get_layer("low")(np.ones((2, 8), np.float32)).dtype == tf.bfloat16
        assert {weight.dtype for weight in model.get_layer("low").weights} == {"float32"}


def test_policies_are_as_before_afterwards_also_after_an_exception(model):
    before = policies(model)
    with precision.low_precision(model.layers):
        assert policies(model) != before
    assert policies(model) == before
    with pytest.raises(KeyError), precision.low_precision(model.layers):
        raise KeyError
    assert policies(model) == before
    inputs = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    assert model.get_layer("low")(inputs).dtype == tf.float32


def test_a_function_traced_inside_stays_in_low_precision_and_differs_a_little(model):
    layer = model.get_layer("low")
    inputs = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    with precision.low_precision([layer]):
        low = tf.function(lambda x: tf.cast(layer(x), tf.float32)).get_concrete_function(tf.TensorSpec([4, 8]))
    full, lowered = layer(inputs).numpy(), low(inputs).numpy()
    assert 1e-5 < np.abs(full - lowered).max() < 0.05


def test_the_hardware_has_an_answer_on_every_machine(monkeypatch):
    assert isinstance(precision.hardware_has_bfloat16(), bool)
    monkeypatch.setattr(precision, "onednn_takes_bfloat16", lambda: True)

    def flags(text):
        monkeypatch.setattr(Path, "read_text", lambda *_: text)
        return precision.hardware_has_bfloat16()

    assert flags("flags : fpu avx512_bf16 sse\n")
    assert flags("flags : fpu amx_bf16")
    assert not flags("flags : fpu avx512f avx512_bf16x")
    assert not flags("")

    def no_such_file(*_):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", no_such_file)
    assert not precision.hardware_has_bfloat16()


@pytest.mark.parametrize("setting", ["ONEDNN_MAX_CPU_ISA=AVX2", "TF_ENABLE_ONEDNN_OPTS=0"])
def test_kernels_that_are_switched_off_are_not_counted_on(setting):
    """In a process of its own: both are read when TensorFlow is loaded."""
    name, value = setting.split("=")
    code = "from frostline import precision; print(precision.onednn_takes_bfloat16())"
    ended = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, name: value}, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["False"]


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [([(8, 0)], True), ([(9, 0), (8, 6)], True), ([(9, 0), (7, 5)], False), ([None], False)],
)
def test_every_gpu_must_have_bfloat16(monkeypatch, capabilities, expected):
    details = [{} if found is None else {"compute_capability": found} for found in capabilities]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: list(range(len(details))))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details[gpu])
    assert precision.hardware_has_bfloat16() is expected
