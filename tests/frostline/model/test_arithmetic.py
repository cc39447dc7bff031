"""TensorFloat-32 is on where it is asked for and only there."""

import pytest
import tensorflow as tf

from frostline.model import arithmetic


def enabled():
    return tf.config.experimental.tensor_float_32_execution_enabled()


@pytest.fixture(params=[True, False])
def before(request):
    """The process's own setting."""
    found = enabled()
    tf.config.experimental.enable_tensor_float_32_execution(request.param)
    yield request.param
    tf.config.experimental.enable_tensor_float_32_execution(found)


@pytest.mark.parametrize("on", [True, False])
def test_the_setting_holds_inside_and_the_earlier_one_returns(before, on):
    with arithmetic.tensor_float_32(on):
        assert enabled() == on
        assert arithmetic.describe("float32")["tensor_float_32"] == on
    assert enabled() == before
    with pytest.raises(ValueError, match="inside"), arithmetic.tensor_float_32(on):
        raise ValueError("inside")
    assert enabled() == before


def test_the_kind_of_device_is_the_names_of_the_gpus_or_cpu(monkeypatch):
    assert arithmetic.device_kind() == "CPU"
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["0", "1"])
    names = {"0": {"device_name": "B"}, "1": {"device_name": "A"}}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", names.get)
    assert arithmetic.describe("bfloat16") == {
        "device": "A, B",
        "tensor_float_32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "precision": "bfloat16",
    }
