"""The head on a backbone: its layers, their names, and what of the backbone stays the same."""

import keras
import numpy as np
import pytest

from frostline.freeze.plan import POOL
from frostline.model import backbones, head
from frostline.model.config import HeadConfig

SIZE = 32


@pytest.fixture
def backbone():
    keras.utils.set_random_seed(0)
    return backbones.build("SmallConvNet", SIZE)


def added(model, backbone):
    """Layers of the head, in order."""
    return [layer for layer in model.layers if layer not in backbone.layers]


def test_the_default_head_is_pooling_logits_and_probabilities(backbone):
    model = head.attach(backbone, HeadConfig(), 3)
    names = [layer.name for layer in added(model, backbone)]
    assert names == [POOL, head.LOGITS, "head_probabilities"]
    assert model.count_params() - backbone.count_params() == 128 * 3 + 3


def test_hidden_layers_and_dropout_come_before_the_logits(backbone):
    model = head.attach(backbone, HeadConfig(hidden=(16, 8), dropout=0.25), 3)
    layers = added(model, backbone)
    assert [layer.name for layer in layers] == [
        POOL, "head_hidden1", "head_hidden2", "head_dropout", head.LOGITS, "head_probabilities",
    ]  # fmt: skip
    assert [(layer.units, layer.activation.__name__) for layer in layers[1:3]] == [(16, "relu"), (8, "relu")]
    assert layers[3].rate == 0.25
    assert all(layer.name.startswith(head.PREFIX) for layer in layers)


def test_the_backbones_layers_are_part_of_the_model_not_nested(backbone):
    model = head.attach(backbone, HeadConfig(), 3)
    assert model.layers[: len(backbone.layers)] == backbone.layers
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)


def test_the_output_is_the_softmax_of_the_logits_of_the_pooled_features(backbone):
    model = head.attach(backbone, HeadConfig(), 3)
    images = np.random.default_rng(0).normal(size=(2, SIZE, SIZE, 3)).astype(np.float32)
    found = model(images, training=False).numpy()
    pooled = backbone(images, training=False).numpy().mean(axis=(1, 2))
    kernel, bias = (weight.numpy() for weight in model.get_layer(head.LOGITS).weights)
    exponentials = np.exp(pooled @ kernel + bias)
    np.testing.assert_allclose(found, exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-4)
    assert (found.shape, found.dtype) == ((2, 3), np.float32)


def test_features_that_are_pooled_already_pass_under_the_same_name():
    image = keras.Input((SIZE, SIZE, 3))
    pooling = keras.Model(image, keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(4, 3)(image)))
    model = head.attach(pooling, HeadConfig(), 2)
    images = np.random.default_rng(0).normal(size=(2, SIZE, SIZE, 3)).astype(np.float32)
    pooled = keras.Model(model.input, model.get_layer(POOL).output)(images)
    np.testing.assert_array_equal(pooled, pooling(images))


def test_probabilities_are_float32_on_a_backbone_in_low_precision():
    image = keras.Input((SIZE, SIZE, 3))
    features = keras.layers.Conv2D(4, 3, dtype="float16")(image)
    model = head.attach(keras.Model(image, features), HeadConfig(), 2)
    assert model.output.dtype == "float32"
