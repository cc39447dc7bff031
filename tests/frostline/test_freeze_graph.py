"""The layer graph: cut points against brute force, blocks against InceptionV3's known structure."""

import math

import keras
import numpy as np
import pytest

from frostline import backbones, head, loop
from frostline.config import HeadConfig
from frostline.freeze.graph import Layer, LayerGraph, from_model
from frostline.freeze.phases import phases
from frostline.freeze.plan import make_plan
from frostline.freeze_config import FreezeConfig

# layers, convolutions and parameters of each block, counted by hand from the published architecture's Keras model
INCEPTION_BLOCKS = {
    "stem": (18, 5, 173_072),
    "mixed0": (23, 7, 256_368),
    "mixed1": (23, 7, 277_968),
    "mixed2": (23, 7, 285_648),
    "mixed3": (14, 4, 1_153_920),
    "mixed4": (32, 10, 1_298_944),
    "mixed5": (32, 10, 1_692_736),
    "mixed6": (32, 10, 1_692_736),
    "mixed7": (32, 10, 2_143_872),
    "mixed8": (20, 6, 1_699_584),
    "mixed9": (31, 9, 5_047_872),
    "mixed10": (31, 9, 6_080_064),
}


@pytest.fixture(scope="module")
def inception():
    return from_model(backbones.build("InceptionV3", 75))


def separated(graph, removed):
    """Whether the last layer is out of reach from the first once `removed` is taken out."""
    reached = {0} - {removed}
    for position, layer in enumerate(graph.layers):
        if position != removed and any(parent in reached for parent in layer.parents):
            reached.add(position)
    return len(graph.layers) - 1 not in reached


def brute_force(graph):
    return tuple(position for position in range(len(graph.layers)) if separated(graph, position))


@pytest.mark.parametrize("name", ["InceptionV3", "MobileNetV2", "ResNet50V2", "SmallConvNet"])
def test_cut_points_are_the_layers_whose_removal_separates_input_from_output(name):
    graph = from_model(backbones.build(name, 96))
    assert graph.cut_points == brute_force(graph)
    assert 2 < len(graph.cut_points) <= len(graph.layers)


def test_a_skip_over_a_layer_makes_it_no_cut_point():
    #  0 -> 1 -> 2 -> 3 -> 4   and   1 -> 3
    parents = [(), (0,), (1,), (1, 2), (3,)]
    graph = LayerGraph(tuple(Layer(str(i), "Dense", p, 1) for i, p in enumerate(parents)))
    assert graph.cut_points == (0, 1, 3, 4)
    assert [(b.name, b.first, b.last) for b in graph.blocks] == [("stem", 0, 1), ("block1", 2, 3), ("top", 4, 4)]


def test_inception_blocks_have_the_known_layers_convolutions_and_parameters(inception):
    found = {}
    for block in inception.blocks:
        layers = inception.layers[block.first : block.last + 1]
        convolutions = sum(layer.kind == "Conv2D" for layer in layers)
        found[block.name] = (len(layers), convolutions, sum(layer.parameters for layer in layers))
    assert found == INCEPTION_BLOCKS


@pytest.mark.parametrize("name", ["InceptionV3", "VGG16", "MobileNetV2", "SmallConvNet"])
def test_blocks_cover_every_layer_once_and_end_at_cut_points(name):
    graph = from_model(backbones.build(name, 96))
    blocks = graph.blocks
    assert [p for b in blocks for p in range(b.first, b.last + 1)] == list(range(len(graph.layers)))
    assert all(block.last in graph.cut_points for block in blocks)


def test_names_are_the_same_in_the_second_model_of_a_process():
    first, second = (from_model(backbones.build("InceptionV3", 75)) for _ in range(2))
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


def test_a_chain_is_cut_by_its_block_names():
    graph = from_model(backbones.build("VGG16", 32))
    assert [block.name for block in graph.blocks] == ["block1", "block2", "block3", "block4", "block5"]


def test_a_chain_without_block_names_is_one_block():
    image = keras.Input((4,))
    graph = from_model(keras.Model(image, keras.layers.Dense(2)(keras.layers.Dense(3)(image))))
    assert [(b.first, b.last) for b in graph.blocks] == [(0, len(graph.layers) - 1)]


# one small model of each family; ConvNeXt and MobileNetV3 hold operations that are no layers
FAMILIES = [
    "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2", "MobileNet",
    "MobileNetV2", "MobileNetV3Small", "NASNetMobile", "ResNet50", "ResNet50V2", "VGG16", "Xception",
]  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_can_be_planned_and_split_at_the_boundary(name):
    model = backbones.build(name, 96)
    graph = from_model(model)
    assert sum(layer.parameters for layer in graph.layers) == model.count_params()
    middle = graph.blocks[len(graph.blocks) // 2].name
    plan = make_plan(graph, FreezeConfig(through=middle), backbone=name, image_size=96)
    loop.apply_phase(model, plan, phases(plan, 1, 0.1)[0])
    frozen = sum(math.prod(weight.shape) for weight in model.non_trainable_weights)
    assert frozen >= plan["totals"]["frozen_parameters"]
    model = head.attach(model, HeadConfig(), 3)
    outputs = {operation.name: operation.output for operation in model.operations}
    cut = outputs[plan["boundary"]["layer"]]
    image = np.random.default_rng(0).random((1, 96, 96, 3), np.float32)
    split = keras.Model(cut, model.output)(keras.Model(model.input, cut)(image, training=False), training=False)
    np.testing.assert_array_equal(split, model(image, training=False))
