"""The layer graph of every family: cut points and ancestors against brute force, blocks against the known structure."""

import math

import keras
import numpy as np
import pytest

from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import Layer, LayerGraph, from_model
from frostline.freeze.phases import phases
from frostline.freeze.plan import make_plan
from frostline.model import backbones, head
from frostline.model.config import HeadConfig
from frostline.training import loop

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


def numbered(stem, *counts):
    """conv2_block1, conv2_block2, .. conv3_block1, ..: as many blocks in each stage, from 2, as `counts` says."""
    return [f"{stem}{stage}_block{n}" for stage, count in enumerate(counts, 2) for n in range(1, count + 1)]


# one small model of each family, with the names of its blocks as its paper or its Keras model has them
FAMILIES = {
    "ConvNeXtTiny": [
        "stem", *(f"stage_{stage}_block_{n}" for stage, depth in enumerate((3, 3, 9, 3)) for n in range(depth)), "top",
    ],
    "DenseNet121": ["stem", *numbered("conv", 6, 12, 24, 16), "top"],
    "EfficientNetB0": [
        "stem", *(f"block{n}{part}" for n, parts in enumerate(("a", "ab", "ab", "abc", "abc", "abcd", "a"), 1)
                  for part in parts), "top",
    ],
    "EfficientNetV2B0": [
        "stem", *(f"block{n}{part}" for n, parts in enumerate(("a", "ab", "ab", "abc", "abcde", "abcdefgh"), 1)
                  for part in parts), "top",
    ],
    "InceptionResNetV2": [
        "stem", "mixed_5b", *(f"block35_{n}" for n in range(1, 11)), "mixed_6a",
        *(f"block17_{n}" for n in range(1, 21)), "mixed_7a", *(f"block8_{n}" for n in range(1, 11)), "top",
    ],
    "InceptionV3": list(INCEPTION_BLOCKS),
    "MobileNet": ["stem", *(f"conv_{n}" for n in range(1, 14))],
    "MobileNetV2": ["stem", "expanded_conv", *(f"block_{n}" for n in range(1, 17)), "top"],
    "MobileNetV3Small": ["stem", "expanded_conv", *(f"expanded_conv_{n}" for n in range(1, 11)), "top"],
    "NASNetMobile": ["stem", "block1"],  # each cell takes the two before it: no layer between them is a cut point
    "ResNet50": ["stem", *numbered("conv", 3, 4, 6, 3)],
    "ResNet50V2": ["stem", *numbered("conv", 3, 4, 6, 3), "top"],
    "VGG16": [f"block{n}" for n in range(1, 6)],
    "Xception": [f"block{n}" for n in range(1, 15)],
}  # fmt: skip


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    """(name, model, graph), each built once for all tests of it."""
    model = backbones.build(request.param, 96)
    return request.param, model, from_model(model)


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


def test_cut_points_are_the_layers_whose_removal_separates_input_from_output(family):
    name, _, graph = family
    assert graph.cut_points == tuple(p for p in range(len(graph.layers)) if separated(graph, p))
    assert len(graph.cut_points) > len(FAMILIES[name])


def test_blocks_have_the_names_of_the_architecture(family):
    name, _, graph = family
    assert [block.name for block in graph.blocks] == FAMILIES[name]


def test_blocks_cover_every_layer_once_and_end_at_cut_points(family):
    _, _, graph = family
    assert [p for block in graph.blocks for p in range(block.first, block.last + 1)] == list(range(len(graph.layers)))
    assert all(block.last in graph.cut_points for block in graph.blocks)


def test_every_layer_with_weights_lies_in_the_block_that_its_name_begins_with(family):
    _, _, graph = family
    for position, layer in enumerate(graph.layers):
        named = [block for block in graph.blocks if layer.name.startswith(f"{block.name}_")]
        if named and layer.parameters:
            block = max(named, key=lambda block: len(block.name))  # expanded_conv_1, not expanded_conv
            assert block.first <= position <= block.last, layer.name


def test_a_model_has_the_parameters_of_its_graph_and_can_be_split_at_the_boundary(family):
    name, backbone, graph = family
    assert sum(layer.parameters for layer in graph.layers) == backbone.count_params()
    middle = graph.blocks[len(graph.blocks) // 2].name
    plan = make_plan(graph, FreezeConfig(through=middle), backbone=name, image_size=96)
    loop.apply_phase(backbone, plan["layers"], phases(plan, 1, 0.1)[0])
    frozen = sum(math.prod(weight.shape) for weight in backbone.non_trainable_weights)
    assert frozen >= plan["totals"]["frozen_parameters"]
    model = head.attach(backbone, HeadConfig(), 3)
    outputs = {operation.name: operation.output for operation in model.operations}
    cut = outputs[plan["boundary"]["layer"]]
    image = np.random.default_rng(0).random((1, 96, 96, 3), np.float32)
    split = keras.Model(cut, model.output)(keras.Model(model.input, cut)(image, training=False), training=False)
    np.testing.assert_array_equal(split, model(image, training=False))


@pytest.mark.parametrize("name", ["ConvNeXtTiny", "InceptionV3", "MobileNetV3Small", "Xception"])
def test_names_are_the_same_in_the_second_model_of_a_process(name):
    """Keras itself counts up: conv2d_94, add_12 and so on in the second one."""
    first, second = (from_model(backbones.build(name, 96)) for _ in range(2))
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]
    assert first.blocks == second.blocks


def test_inception_blocks_have_the_known_layers_convolutions_and_parameters(inception):
    found = {}
    for block in inception.blocks:
        layers = inception.layers[block.first : block.last + 1]
        convolutions = sum(layer.kind == "Conv2D" for layer in layers)
        found[block.name] = (len(layers), convolutions, sum(layer.parameters for layer in layers))
    assert found == INCEPTION_BLOCKS


def test_the_ancestors_of_each_mixed_layer_are_all_that_come_before_it(inception):
    names = [layer.name for layer in inception.layers]
    for number in range(11):
        position = names.index(f"mixed{number}")
        assert inception.ancestors(position) == set(range(position + 1))


def test_ancestors_leave_out_the_other_branches(inception):
    """The 5x5 branch of mixed0 is one convolution and the next, on what the stem gives, and no other branch."""
    position = next(p for p, x in enumerate(inception.layers) if x.name == "conv2d_7")
    stem = inception.blocks[0].last
    above = inception.ancestors(position) - set(range(stem + 1))
    assert [inception.layers[p].kind for p in sorted(above)] == ["Conv2D", "BatchNormalization", "Activation", "Conv2D"]


def test_a_skip_over_a_layer_makes_it_no_cut_point():
    #  0 -> 1 -> 2 -> 3 -> 4   and   1 -> 3
    parents = [(), (0,), (1,), (1, 2), (3,)]
    graph = LayerGraph(tuple(Layer(str(i), "Dense", p, 1) for i, p in enumerate(parents)))
    assert graph.cut_points == (0, 1, 3, 4)
    assert [(b.name, b.first, b.last) for b in graph.blocks] == [("stem", 0, 1), ("block1", 2, 3), ("top", 4, 4)]
    assert graph.ancestors(2) == {0, 1, 2}


def test_a_squeeze_and_excitation_in_a_block_without_names_does_not_end_it():
    #  0 -> 1 -> 2 -> 3(times 1) -> 4 -> 5(plus 3) -> 6
    kinds = ["InputLayer", "Conv2D", "Dense", "Multiply", "Conv2D", "Add", "Conv2D"]
    parents = [(), (0,), (1,), (1, 2), (3,), (3, 4), (5,)]
    graph = LayerGraph(tuple(Layer(f"x{i}", k, p, 1) for i, (k, p) in enumerate(zip(kinds, parents, strict=True))))
    assert 3 in graph.cut_points
    assert [(block.name, block.last) for block in graph.blocks] == [("stem", 1), ("block1", 5), ("top", 6)]


def test_a_chain_without_block_names_is_one_block():
    image = keras.Input((4,))
    graph = from_model(keras.Model(image, keras.layers.Dense(2)(keras.layers.Dense(3)(image))))
    assert [(b.first, b.last) for b in graph.blocks] == [(0, len(graph.layers) - 1)]


def test_the_shape_of_each_layer_is_that_of_its_output_for_one_image(family):
    _, model, graph = family
    shapes = {layer.name: layer.shape for layer in graph.layers}
    assert not [shape for shape in shapes.values() if 0 in shape]
    for layer in model.layers:
        assert shapes[layer.name] == tuple(layer.output.shape[1:])


def test_the_size_of_the_image_fixes_what_a_free_model_leaves_open(tmp_path):
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, name="block1_conv")(image)
    keras.Model(image, keras.layers.Conv2D(8, 3, name="block2_conv")(x)).save(tmp_path / "free.keras")
    graph = from_model(backbones.build(str(tmp_path / "free.keras"), 33))
    assert [layer.shape for layer in graph.layers] == [(33, 33, 3), (16, 16, 4), (14, 14, 8)]
