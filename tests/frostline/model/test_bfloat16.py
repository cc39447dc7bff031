"""bfloat16: layers use it only inside the context, and only if it makes the machine faster."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from frostline.model import bfloat16

from tests.support.kernels import ONEDNN_IS_CAPPED


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, name="inside")], name="nested")
    half = keras.layers.Dense(4, name="half", dtype="float16")
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(6, name="low"), inner, half])


def policies(model):
    return [part.dtype_policy.name for part in model._flatten_layers()]


@pytest.mark.bfloat16
def test_layers_and_those_inside_compute_in_bfloat16_while_weights_stay_float32(model):
    with bfloat16.low_precision(model.layers):
        assert model.get_layer("low").compute_dtype == "bfloat16"
        assert model.get_layer("nested").get_layer("inside").compute_dtype == "bfloat16"
        assert model.get_layer("half").compute_dtype == "float16"  # an explicit type is kept
        assert model.get_layer("low")(np.ones((2, 8), np.float32)).dtype == tf.bfloat16
        assert {weight.dtype for weight in model.get_layer("low").weights} == {"float32"}


def test_policies_are_as_before_afterwards_also_after_an_exception(model):
    before = policies(model)
    with bfloat16.low_precision(model.layers):
        assert policies(model) != before
    assert policies(model) == before
    with pytest.raises(KeyError), bfloat16.low_precision(model.layers):
        raise KeyError
    assert policies(model) == before
    inputs = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    assert model.get_layer("low")(inputs).dtype == tf.float32


@pytest.mark.bfloat16
def test_a_function_traced_inside_stays_in_low_precision_and_differs_a_little(model):
    layer = model.get_layer("low")
    inputs = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    with bfloat16.low_precision([layer]):
        low = tf.function(lambda x: tf.cast(layer(x), tf.float32)).get_concrete_function(tf.TensorSpec([4, 8]))
    full, lowered = layer(inputs).numpy(), low(inputs).numpy()
    assert 1e-5 < np.abs(full - lowered).max() < 0.05


@pytest.mark.bfloat16
def test_instructions_that_do_not_make_it_faster_do_not_count(monkeypatch):
    assert 0.05 < bfloat16.speed_up() < 20
    times = {}
    monkeypatch.setattr(bfloat16, "_convolution", lambda dtype: dtype)
    monkeypatch.setattr(bfloat16, "_seconds", lambda dtype: times[dtype])
    times |= {tf.float32: 1.0, tf.bfloat16: 0.9}
    assert not bfloat16.is_faster()
    times |= {tf.bfloat16: 0.6}
    assert bfloat16.is_faster()


def test_the_hardware_has_an_answer_on_every_machine(monkeypatch):
    assert isinstance(bfloat16.hardware_has_bfloat16(), bool)
    monkeypatch.setattr(bfloat16, "onednn_takes_bfloat16", lambda: True)

    def flags(text):
        monkeypatch.setattr(Path, "read_text", lambda *_: text)
        return bfloat16.hardware_has_bfloat16()

    assert flags("flags : fpu avx512_bf16 sse\n")
    assert flags("flags : fpu amx_bf16")
    assert not flags("flags : fpu avx512f avx512_bf16x")
    assert not flags("")

    def no_such_file(*_):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", no_such_file)
    assert not bfloat16.hardware_has_bfloat16()


@pytest.mark.parametrize("setting", ["ONEDNN_MAX_CPU_ISA=AVX2", "TF_ENABLE_ONEDNN_OPTS=0"])
def test_kernels_that_are_switched_off_are_not_counted_on(setting):
    """In another process, because both are read when TensorFlow is loaded."""
    name, value = setting.split("=")
    code = "from frostline.model import bfloat16; print(bfloat16.onednn_takes_bfloat16())"
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
    assert bfloat16.hardware_has_bfloat16() is expected
    assert bfloat16.is_faster()  # nothing is timed


if ONEDNN_IS_CAPPED:

    def test_what_computes_in_bfloat16_passes_without_the_cap():
        """conftest leaves these tests out of a process whose kernels would crash; Eigen's take bfloat16 anywhere."""
        environment = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-m", "bfloat16", "tests/frostline"],
            cwd=Path(__file__).parents[3],
            env={**environment, "TF_ENABLE_ONEDNN_OPTS": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout
