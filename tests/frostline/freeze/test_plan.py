"""The freeze plan: totals, blocks, layers, boundary and phases of a policy on a real graph."""

import pytest

from frostline.errors import PolicyError
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import Layer, LayerGraph, from_model
from frostline.freeze.plan import make_plan
from frostline.model import backbones
from frostline.section import parse


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


def test_none_freezes_nothing_and_has_no_boundary(inception):
    plan = plan_of(inception, none=True, batch_norm="follow")
    assert plan["totals"]["frozen_parameters"] == 0
    assert plan["boundary"] is None


def test_a_plan_is_a_pure_function_of_graph_and_policy(inception):
    assert plan_of(inception, through="mixed5") == plan_of(inception, through="mixed5")


def test_blocks_of_a_plan_add_up_to_its_totals(inception):
    plan = plan_of(inception, through="mixed4")
    for key in ("layers", "parameters", "frozen_parameters", "trainable_parameters"):
        assert sum(block[key] for block in plan["blocks"]) == plan["totals"][key]


def test_a_deeper_block_freezes_more_parameters(inception):
    frozen = [
        plan_of(inception, through=block.name, batch_norm="follow")["totals"]["frozen_parameters"]
        for block in inception.blocks
    ]
    assert frozen == sorted(set(frozen))


def test_the_boundary_of_a_frozen_backbone_is_the_heads_pooling_with_one_number_per_channel(inception):
    boundary = plan_of(inception, head_only=True)["boundary"]
    assert (boundary["layer"], boundary["shape"], boundary["feature_bytes"]) == ("head_pool", [2048], 8192)
    assert boundary["flops_below"] == sum(layer.flops for layer in inception.layers)


def test_a_boundary_whose_shape_the_image_size_does_not_determine_is_refused():
    graph = LayerGraph(
        (
            Layer("image", "InputLayer", (), 0),
            Layer("conv", "Conv2D", (0,), 9, shape=(0, 32, 8)),
            Layer("out", "Dense", (1,), 9),
        )
    )
    with pytest.raises(PolicyError, match=r"the boundary conv has an output of \[0, 32, 8\], where 0 is a dimension"):
        plan_of(graph, first_layers=2)


def test_a_plan_records_backbone_size_and_policy_and_gives_every_layer_its_block(inception):
    plan = plan_of(inception, through="mixed1")
    assert (plan["backbone"], plan["image_size"]) == ("InceptionV3", 75)
    assert plan["policy"] == {"through": "mixed1", "batch_norm": "freeze"}
    assert [layer["name"] for layer in plan["layers"]] == [layer.name for layer in inception.layers]
    assert [block["name"] for block in plan["blocks"]] == [block.name for block in inception.blocks]
    for block in plan["blocks"]:
        inside = [layer for layer in plan["layers"] if layer["block"] == block["name"]]
        assert (len(inside), inside[-1]["name"]) == (block["layers"], block["last_layer"])
        assert sum(layer["parameters"] for layer in inside) == block["parameters"]


def test_every_later_phase_has_its_own_totals_boundary_and_frozen_layers(inception):
    later = {"policy": {"through": "mixed7"}, "epochs": 3, "learning_rate": 0.002}
    section = parse(FreezeConfig, {"head_only": True, "batch_norm": "follow", "phases": [later]})
    plan = make_plan(inception, section, backbone="InceptionV3", image_size=75)
    alone = plan_of(inception, through="mixed7", batch_norm="follow")
    assert plan["boundary"]["layer"] == "head_pool"
    (phase,) = plan["phases"]
    assert {key: phase[key] for key in later} == later
    assert (phase["totals"], phase["boundary"]) == (alone["totals"], alone["boundary"])
    assert phase["frozen"] == [layer["name"] for layer in alone["layers"] if layer["frozen"]]


@pytest.mark.parametrize("section", [{"head_only": True}, {"through": "mixed10"}])
def test_a_decay_of_learning_rates_that_no_layer_would_use_is_refused(inception, section):
    with pytest.raises(PolicyError, match=r"freeze\.layer_lr_decay: received 0\.5, which changes nothing"):
        plan_of(inception, **section, layer_lr_decay=0.5)


def test_a_wrong_policy_of_a_later_phase_is_named_by_its_position(inception):
    later = {"policy": {"through": "nowhere"}, "epochs": 1, "learning_rate": 0.1}
    section = parse(FreezeConfig, {"none": True, "phases": [later]})
    with pytest.raises(PolicyError, match=r"freeze\.phases\.0\.policy\.through: received 'nowhere'"):
        make_plan(inception, section, backbone="InceptionV3", image_size=75)
