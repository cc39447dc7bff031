"""FLOPs of single layers, worked out by hand: two per multiply-add."""

import keras
import pytest
from keras import layers

from frostline.freeze.flops import of_operation
from frostline.freeze.graph import from_model
from frostline.model import backbones

# Every layer takes [batch, 9, 9, 4]. A kernel is applied once per output position.
CASES = {
    # "same" keeps 9 x 9; each of 6 filters sees 3 x 3 x 4 values; the bias is left out
    "conv": (layers.Conv2D(6, 3, padding="same"), 2 * 9 * 9 * (3 * 3 * 4 * 6)),
    # without padding 9 - 3 + 1 = 7 positions per side
    "valid": (layers.Conv2D(6, 3, use_bias=False), 2 * 7 * 7 * (3 * 3 * 4 * 6)),
    # every second position: (9 - 3) / 2 + 1 = 4 without padding, 9 / 2 rounded up = 5 with
    "strided": (layers.Conv2D(6, 3, strides=2), 2 * 4 * 4 * (3 * 3 * 4 * 6)),
    "strided, padded": (layers.Conv2D(6, 3, strides=2, padding="same"), 2 * 5 * 5 * (3 * 3 * 4 * 6)),
    # a kernel of 3 with gaps of 1 covers 5: 9 - 5 + 1 = 5 positions, at the same cost each
    "dilated": (layers.Conv2D(6, 3, dilation_rate=2), 2 * 5 * 5 * (3 * 3 * 4 * 6)),
    # in two groups each filter sees 2 of the 4 channels
    "grouped": (layers.Conv2D(6, 3, padding="same", groups=2), 2 * 9 * 9 * (3 * 3 * 2 * 6)),
    # two 3 x 3 filters per channel
    "depthwise": (layers.DepthwiseConv2D(3, depth_multiplier=2), 2 * 7 * 7 * (3 * 3 * 4 * 2)),
    "depthwise, strided": (layers.DepthwiseConv2D(3, strides=2, padding="same"), 2 * 5 * 5 * (3 * 3 * 4)),
    # a depthwise 3 x 3 to 4 channels, then 1 x 1 from these to 6
    "separable": (layers.SeparableConv2D(6, 3, padding="same"), 2 * 9 * 9 * (3 * 3 * 4 + 4 * 6)),
    "separable, strided": (layers.SeparableConv2D(6, 3, strides=2), 2 * 4 * 4 * (3 * 3 * 4 + 4 * 6)),
    # on the last axis of an image: at each of the 81 positions, like a 1 x 1 convolution
    "dense": (layers.Dense(5), 2 * 9 * 9 * (4 * 5)),
    "batch norm": (layers.BatchNormalization(), 0),
    "pooling": (layers.MaxPooling2D(), 0),
    # all layers of a nested model: 7 x 7 positions, then a dense layer on 6 channels at each
    "nested": (
        keras.Sequential([layers.Conv2D(6, 3), layers.ReLU(), layers.Dense(2)]),
        2 * 7 * 7 * (3 * 3 * 4 * 6) + 2 * 7 * 7 * (6 * 2),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_layer_costs_what_the_hand_calculation_says(name):
    layer, expected = CASES[name]
    image = keras.Input((9, 9, 4))
    graph = from_model(keras.Model(image, layer(image)))
    assert graph.layers[-1].flops == expected
    assert sum(x.flops for x in graph.layers) == expected


def test_a_dense_layer_on_a_vector_is_one_product():
    layer = layers.Dense(10)
    layer(keras.Input((32,)))
    assert of_operation(layer) == 2 * 32 * 10


def test_a_plain_operation_costs_nothing():
    image = keras.Input((9, 9, 4))
    assert [layer.flops for layer in from_model(keras.Model(image, image * 2.0 + 1.0)).layers] == [0, 0, 0]


def test_a_small_network_as_a_whole():
    """Three convolutions of 3 x 3 on 32, 16 and 8 pixels per side, with 32, 64 and 128 filters."""
    graph = from_model(backbones.build("SmallConvNet", 32))
    expected = 2 * 9 * (32 * 32 * 3 * 32 + 16 * 16 * 32 * 64 + 8 * 8 * 64 * 128)
    assert sum(layer.flops for layer in graph.layers) == expected


@pytest.mark.parametrize(("name", "published"), [("ResNet50", 3.8e9), ("VGG16", 15.3e9), ("MobileNetV2", 300e6)])
def test_whole_backbones_cost_what_is_published(name, published):
    """Multiply-adds of one image of 224 px, within 5 %: K. He et al., "Deep Residual Learning", CVPR 2016, table 1
    and section 4.1; M. Sandler et al., "MobileNetV2", CVPR 2018, table 4."""
    graph = from_model(backbones.build(name, 224))
    assert sum(layer.flops for layer in graph.layers) / 2 == pytest.approx(published, rel=0.05)
