"""The head: its layers, what it makes of features that are pooled already, and whose layers the model has."""

import keras
import numpy as np
import pytest

from frostline.freeze.plan import POOL
from frostline.model import backbones, head
from frostline.model.config import HeadConfig


@pytest.fixture
def backbone():
    keras.utils.set_random_seed(0)
    return backbones.build("SmallConvNet", 16)


def images(number=4):
    return np.random.default_rng(0).random((number, 16, 16, 3), np.float32)


def test_the_layers_are_those_of_the_configuration_in_order(backbone):
    model = head.attach(backbone, HeadConfig(hidden=(8, 5), dropout=0.25), 3)
    added = model.layers[len(backbone.layers) :]
    assert [layer.name for layer in added] == [
        POOL, "head_hidden1", "head_hidden2", "head_dropout", head.LOGITS, "head_probabilities",
    ]  # fmt: skip
    assert all(layer.name.startswith(head.PREFIX) for layer in added)
    assert [model.get_layer(name).units for name in ("head_hidden1", "head_hidden2", head.LOGITS)] == [8, 5, 3]
    assert model.get_layer("head_hidden1").activation is keras.activations.relu
    assert model.get_layer("head_dropout").rate == 0.25


def test_without_hidden_layers_and_dropout_only_the_logits_have_weights(backbone):
    model = head.attach(backbone, HeadConfig(), 3)
    added = model.layers[len(backbone.layers) :]
    assert [layer.name for layer in added] == [POOL, head.LOGITS, "head_probabilities"]
    assert model.count_params() == backbone.count_params() + 128 * 3 + 3


def test_the_output_is_the_softmax_of_the_logits_of_the_mean_features(backbone):
    model = head.attach(backbone, HeadConfig(), 3)
    features = np.asarray(backbone(images(), training=False))
    kernel, bias = (weight.numpy() for weight in model.get_layer(head.LOGITS).weights)
    logits = features.mean(axis=(1, 2)) @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = model(images(), training=False)
    assert (found.shape, found.dtype) == ((4, 3), "float32")
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_backbones_layers_are_shared_and_not_nested(backbone):
    model = head.attach(backbone, HeadConfig(), 3)
    assert all(mine is theirs for mine, theirs in zip(model.layers, backbone.layers, strict=False))
    assert model.name == f"{backbone.name}_finetuned"


def test_features_that_are_pooled_already_are_left_unchanged():
    image = keras.Input((16, 16, 3))
    pooled = keras.Model(image, keras.layers.GlobalMaxPooling2D()(image), name="pooled")
    model = head.attach(pooled, HeadConfig(), 2)
    features = keras.Model(model.input, model.get_layer(POOL).output)
    np.testing.assert_array_equal(features(images()), images().max(axis=(1, 2)))


def test_dropout_acts_in_training_only(backbone):
    keras.utils.set_random_seed(0)
    model = head.attach(backbone, HeadConfig(dropout=0.5), 3)
    still = [np.asarray(model(images(), training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*still)
    assert np.abs(np.asarray(model(images(), training=True)) - still[0]).max() > 0


def test_probabilities_are_float32_on_a_backbone_in_low_precision():
    image = keras.Input((32, 32, 3))
    features = keras.layers.Conv2D(4, 3, dtype="float16")(image)
    model = head.attach(keras.Model(image, features), HeadConfig(), 2)
    assert model.output.dtype == "float32"
