"""Policies resolved against real graphs: what is frozen, why, and what is refused."""

import pytest

from frostline.errors import PolicyError
from frostline.freeze.config import FreezeConfig, PolicyConfig
from frostline.freeze.graph import Layer, LayerGraph, from_model
from frostline.freeze.plan import make_plan
from frostline.freeze.policy import layer_verdicts
from frostline.model import backbones


@pytest.fixture(scope="module")
def inception():
    return from_model(backbones.build("InceptionV3", 75))


def plan_of(graph, **policy):
    return make_plan(graph, FreezeConfig(**policy), backbone="InceptionV3", image_size=75)


def test_head_only_freezes_every_layer_of_the_backbone(inception):
    totals = plan_of(inception, head_only=True)["totals"]
    assert totals["frozen_layers"] == totals["weighted_layers"] == 188
    assert totals["frozen_parameters"] == totals["parameters"] == 21_802_784
    assert totals["trainable_parameters"] == 0


def test_through_freezes_the_block_and_everything_before_it(inception):
    plan = plan_of(inception, through="mixed2", batch_norm="follow")
    frozen = {layer["name"] for layer in plan["layers"] if layer["frozen"]}
    names = [layer["name"] for layer in plan["layers"]]
    assert frozen == set(names[: names.index("mixed2") + 1])
    assert plan["boundary"] == {
        "layer": "mixed2",
        "block": "mixed2",
        "parameters_below": 993_056,
        "flops_share": 0.534056,
        "flops_below": 215_200_960,
        "shape": [7, 7, 288],
        "feature_bytes": 7 * 7 * 288 * 4,
    }


def test_batch_norm_stays_frozen_above_the_boundary_unless_it_follows(inception):
    frozen = plan_of(inception, through="mixed7")
    following = plan_of(inception, through="mixed7", batch_norm="follow")

    def moving_norms(plan):
        return [x for x in plan["layers"] if x["class"] == "BatchNormalization" and not x["frozen"]]

    assert not moving_norms(frozen)
    assert len(moving_norms(following)) == 24
    assert {x["rule"] for x in frozen["layers"] if x["frozen"]} == {"through: mixed7", "batch_norm: freeze"}


def test_none_freezes_nothing_and_has_no_boundary(inception):
    plan = plan_of(inception, none=True, batch_norm="follow")
    assert plan["totals"]["frozen_parameters"] == 0
    assert plan["boundary"] is None


def test_more_is_frozen_the_deeper_through_is(inception):
    frozen = [
        plan_of(inception, through=block.name, batch_norm="follow")["totals"]["frozen_parameters"]
        for block in inception.blocks
    ]
    assert frozen == sorted(set(frozen))


def test_an_unknown_block_is_refused_with_the_nearest_names(inception):
    with pytest.raises(PolicyError, match=r"received 'mixd7'.*did you mean mixed7") as caught:
        layer_verdicts(inception, PolicyConfig(through="mixd7"), "freeze")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_layer_without_weights_is_refused():
    layers = [Layer("in", "InputLayer", (), 0), Layer("a", "ReLU", (0,), 0), Layer("b", "Dense", (0,), 9)]
    graph = LayerGraph((*layers, Layer("sum", "Add", (1, 2), 0), Layer("out", "Dense", (3,), 9)))
    with pytest.raises(PolicyError, match="which freezes nothing: its 1 layer is ReLU, which has no weights"):
        layer_verdicts(graph, PolicyConfig(match="^a$"), "freeze")


@pytest.mark.parametrize("policy", [{"head_only": True}, {"fraction": 0.5}, {"first_layers": 2}, {"through": "block1"}])
def test_a_backbone_without_weights_has_nothing_to_freeze(policy):
    graph = LayerGraph((Layer("in", "InputLayer", (), 0), Layer("a", "ReLU", (0,), 0)))
    with pytest.raises(PolicyError, match="which freezes nothing: the backbone has no weights"):
        layer_verdicts(graph, PolicyConfig(**policy), "freeze")


def chain(*parameters):
    """Blocks of one dense layer each, in a row."""
    layers = [Layer("image", "InputLayer", (), 0)]
    for number, size in enumerate(parameters, start=1):
        layers.append(Layer(f"block{number}_dense", "Dense", (number - 1,), size))
    return LayerGraph(tuple(layers))


@pytest.mark.parametrize(("fraction", "expected"), [(0.01, 1), (0.5, 2), (0.51, 3), (0.75, 3), (1.0, 4)])
def test_a_fraction_is_the_fewest_blocks_that_contain_it(fraction, expected):
    verdicts = layer_verdicts(chain(25, 25, 25, 25), PolicyConfig(fraction=fraction), "follow")
    assert [verdict.frozen for verdict in verdicts[1:]] == [True] * expected + [False] * (4 - expected)


@pytest.mark.parametrize(
    ("fraction", "expected", "rule"),
    [
        (0.1, 1, "fraction: 0.1 by layers"),
        (0.5, 5, "fraction: 0.5 by layers"),
        (0.55, 6, "fraction: 0.55 by layers"),
        (0.8, 10, "fraction: 0.8"),
        (1.0, 10, "fraction: 1.0"),
    ],
)
def test_a_fraction_of_a_block_that_is_too_coarse_is_the_fewest_layers_that_contain_it(fraction, expected, rule):
    layers = [Layer("image", "InputLayer", (), 0)]
    layers += [Layer(f"dense_{number}", "Dense", (number - 1,), 10) for number in range(1, 11)]
    graph = LayerGraph(tuple(layers))
    assert len(graph.blocks) == 1
    verdicts = layer_verdicts(graph, PolicyConfig(fraction=fraction), "follow")
    assert [verdict.frozen for verdict in verdicts[1:]] == [True] * expected + [False] * (10 - expected)
    assert verdicts[1].rule == rule


def test_half_of_nasnet_is_half_of_it():
    """Its cells use the outputs of two others, so it has one block."""
    graph = from_model(backbones.build("NASNetMobile", 32))
    verdicts = layer_verdicts(graph, PolicyConfig(fraction=0.5), "follow")
    held = sum(layer.parameters for layer, one in zip(graph.layers, verdicts, strict=True) if one.frozen)
    assert 0.5 <= held / sum(layer.parameters for layer in graph.layers) < 0.52


def test_globs_choose_blocks_and_unknown_names_are_refused(inception):
    plan = plan_of(inception, blocks=["mixed1*", "stem"], batch_norm="follow")
    assert {x["block"] for x in plan["layers"] if x["frozen"]} == {"stem", "mixed1", "mixed10"}
    with pytest.raises(PolicyError, match=r"freeze\.blocks: received 'mixed_1\*', which is not a block"):
        plan_of(inception, blocks=["mixed1*", "mixed_1*"])


def test_more_layers_than_there_are_and_layers_before_any_weight_are_refused(inception):
    with pytest.raises(PolicyError, match=r"freeze\.first_layers: received 312; the backbone has 311 layers"):
        plan_of(inception, first_layers=312)
    with pytest.raises(PolicyError, match=r"received 1, which freezes nothing: its 1 layer is InputLayer"):
        plan_of(inception, first_layers=1)


def test_a_regex_that_matches_no_name_is_refused_with_near_names(inception):
    with pytest.raises(PolicyError, match=r"received 'conv3d_7', which matches no layer's name; did you mean conv2d_"):
        plan_of(inception, match="conv3d_7")


def test_a_rule_says_what_decided(inception):
    plan = plan_of(inception, match="^conv2d_1$")
    rules = {x["name"]: x["rule"] for x in plan["layers"]}
    assert rules["conv2d_1"] == "match: ^conv2d_1$"
    assert rules["batch_normalization_1"] == "batch_norm: freeze"
    assert rules["conv2d_2"] == "trainable"
    assert plan["boundary"] is None  # conv2d, which is trained, comes before it
