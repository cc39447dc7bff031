"""FLOPs of single layers, counted by hand: two for each multiply-add, for one image."""

import keras
import pytest
from keras import layers

from frostline.freeze.flops import of_operation
from frostline.freeze.graph import from_model

IMAGE = (8, 10, 4)  # height, width, channels: not square, so that no two dimensions can be confused


def flops(layer, shape=IMAGE):
    image = keras.Input(shape)
    layer(image)
    return of_operation(layer)


@pytest.mark.parametrize(
    ("options", "height", "width"),
    [
        ({"padding": "same"}, 8, 10),
        ({"padding": "valid"}, 6, 8),  # 8 - 3 + 1 and 10 - 3 + 1
        ({"padding": "same", "strides": 2}, 4, 5),  # 8 / 2 and 10 / 2
        ({"padding": "valid", "strides": 2}, 3, 4),  # floor((8 - 3) / 2) + 1 and floor((10 - 3) / 2) + 1
        ({"padding": "valid", "dilation_rate": 2}, 4, 6),  # the kernel spans 5: 8 - 5 + 1 and 10 - 5 + 1
    ],
)
def test_a_convolution_multiplies_its_kernel_at_every_place_of_its_output(options, height, width):
    assert flops(layers.Conv2D(6, 3, **options)) == 2 * height * width * (3 * 3 * 4 * 6)


def test_a_kernel_that_is_not_square_counts_both_of_its_sides():
    assert flops(layers.Conv2D(6, (1, 7), padding="same")) == 2 * 8 * 10 * (1 * 7 * 4 * 6)


def test_a_bias_is_not_counted():
    assert flops(layers.Conv2D(6, 3, use_bias=True)) == flops(layers.Conv2D(6, 3, use_bias=False))


def test_a_grouped_convolution_sees_only_the_channels_of_its_group():
    # each of the 6 outputs takes 4 / 2 input channels: half of what an ungrouped one multiplies
    assert flops(layers.Conv2D(6, 3, padding="same", groups=2)) == 2 * 8 * 10 * (3 * 3 * 2 * 6)


@pytest.mark.parametrize("multiplier", [1, 3])
def test_a_depthwise_convolution_takes_each_channel_alone(multiplier):
    layer = layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=multiplier)
    assert flops(layer) == 2 * 4 * 5 * (3 * 3 * 4 * multiplier)


def test_a_separable_convolution_is_a_depthwise_one_and_a_pointwise_one():
    layer = layers.SeparableConv2D(6, 3, padding="valid", depth_multiplier=2)
    assert flops(layer) == 2 * 6 * 8 * (3 * 3 * 4 * 2) + 2 * 6 * 8 * (1 * 1 * (4 * 2) * 6)


def test_a_dense_layer_multiplies_its_kernel_once():
    assert flops(layers.Dense(7), (5,)) == 2 * 5 * 7


def test_a_dense_layer_on_a_map_multiplies_its_kernel_at_every_place():
    assert flops(layers.Dense(7)) == 2 * 8 * 10 * (4 * 7)


def test_a_model_inside_a_model_counts_with_all_its_layers():
    inner = keras.Sequential([layers.Conv2D(6, 3, padding="same"), layers.LayerNormalization(), layers.Dense(7)])
    nested = keras.Sequential([inner, layers.Conv2D(2, 1)])
    first, dense, last = 2 * 80 * (3 * 3 * 4 * 6), 2 * 80 * (6 * 7), 2 * 80 * (7 * 2)
    assert flops(nested) == first + dense + last
    assert of_operation(inner) == first + dense


@pytest.mark.parametrize(
    "layer",
    [
        layers.MaxPooling2D(),
        layers.ReLU(),
        layers.BatchNormalization(),
        layers.ZeroPadding2D(),
        layers.GlobalAveragePooling2D(),
        layers.Dropout(0.5),
        layers.Flatten(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_is_no_convolution_and_no_dense_layer_counts_nothing(layer):
    assert flops(layer) == 0


def test_a_graph_gives_each_of_its_layers_its_flops():
    image = keras.Input(IMAGE)
    x = layers.ReLU()(layers.Conv2D(6, 3)(image))
    x = layers.Dense(7)(layers.GlobalAveragePooling2D()(x + 1.0))
    graph = from_model(keras.Model(image, x))
    assert [layer.flops for layer in graph.layers] == [0, 2 * 6 * 8 * (3 * 3 * 4 * 6), 0, 0, 0, 2 * 6 * 7]
