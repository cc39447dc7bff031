"""BatchNorm folded into convolutions: the same numbers, and nothing of the model itself is changed."""

import keras
import numpy as np
import pytest

from frostline.features.folding import folded
from frostline.model import backbones


def randomized(name, size):
    """A backbone whose BatchNorm layers do something."""
    keras.utils.set_random_seed(0)
    model = backbones.build(name, size)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.moving_mean.assign(rng.normal(0, 0.1, shape))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, shape))
            if layer.scale:
                layer.gamma.assign(rng.uniform(0.5, 1.5, shape))
            layer.beta.assign(rng.normal(0, 0.1, shape))
    return model


def norms(model):
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


@pytest.mark.parametrize(
    ("name", "size", "left"),
    [
        ("SmallConvNet", 32, 0),
        ("InceptionV3", 75, 0),
        ("MobileNetV2", 32, 0),
        ("EfficientNetV2B0", 32, 0),
        ("ResNet50V2", 32, 17),  # those before a convolution stay
        ("DenseNet121", 32, 62),
    ],
)
def test_a_folded_model_computes_the_same(name, size, left):
    model = randomized(name, size)
    before = [weight.numpy() for weight in model.weights]
    images = np.random.default_rng(1).uniform(-1, 1, (4, size, size, 3)).astype(np.float32)
    expected = model(images, training=False).numpy()
    made = folded(model)
    assert norms(model) > norms(made) == left
    difference = np.abs(made(images, training=False).numpy() - expected).max()
    assert difference <= 1e-4 * np.abs(expected).max()
    assert all(np.array_equal(old, weight.numpy()) for old, weight in zip(before, model.weights, strict=True))


def test_a_model_without_such_a_pair_stays_as_it_is():
    model = backbones.build("VGG16", 32)
    assert folded(model) is model


def own(*layers):
    image = keras.Input((8, 8, 3))
    x = image
    for layer in layers:
        x = layer(x)
    return image, x


@pytest.mark.parametrize("bias", [False, True])
def test_a_bias_is_folded_too(bias):
    norm = keras.layers.BatchNormalization(scale=False, center=bias)
    image, x = own(keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=bias), norm)
    model = keras.Model(image, x)
    rng = np.random.default_rng(2)
    model.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in model.weights])
    images = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(folded(model)(images), model(images, training=False), rtol=1e-4, atol=1e-5)


def test_what_another_layer_takes_too_is_not_folded():
    image, x = own(keras.layers.Conv2D(4, 3, name="conv"))
    both = keras.layers.Add()([keras.layers.BatchNormalization()(x), x])
    assert norms(folded(keras.Model(image, both))) == 1


def test_an_activation_between_the_two_is_not_folded():
    image, x = own(keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.BatchNormalization())
    assert norms(folded(keras.Model(image, x))) == 1
