"""The plan as a document: a small graph worked out by hand, boundaries, later phases, and what is refused."""

import pytest

from frostline.documents.freeze import FREEZE_PLAN, Boundary, FreezePlan, LaterPhase, Totals
from frostline.errors import PolicyError
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import Layer, LayerGraph, from_model
from frostline.freeze.plan import HEAD, POOL, make_plan
from frostline.model import backbones
from frostline.section import parse

# image -> conv, norm -> sum -> conv, norm -> pool: two blocks of 10 + 4 and 30 + 6 parameters
GRAPH = LayerGraph(
    (
        Layer("image", "InputLayer", (), 0, shape=(8, 8, 3)),
        Layer("block1_conv", "Conv2D", (0,), 10, 300, shape=(8, 8, 2)),
        Layer("block1_bn", "BatchNormalization", (1,), 4, shape=(8, 8, 2)),
        Layer("block1_out", "Add", (1, 2), 0, shape=(8, 8, 2)),
        Layer("block2_conv", "Conv2D", (3,), 30, 100, shape=(4, 4, 5)),
        Layer("block2_bn", "BatchNormalization", (4,), 6, shape=(4, 4, 5)),
        Layer("block2_out", "MaxPooling2D", (5,), 0, shape=(2, 2, 5)),
    )
)


def plan_of(section, graph=GRAPH):
    return make_plan(graph, parse(FreezeConfig, section), backbone="Toy", image_size=8)


@pytest.fixture(scope="module")
def inception():
    return from_model(backbones.build("InceptionV3", 75))


def test_a_plan_is_what_was_worked_out_by_hand():
    assert plan_of({"through": "block1"}) == {
        "backbone": "Toy",
        "image_size": 8,
        "policy": {"through": "block1", "batch_norm": "freeze"},
        "totals": {
            "layers": 7,
            "weighted_layers": 4,
            "parameters": 50,
            "frozen_layers": 3,
            "frozen_parameters": 20,
            "trainable_parameters": 30,
        },
        "boundary": {
            "layer": "block1_out",
            "block": "block1",
            "parameters_below": 14,
            "flops_share": 0.75,
            "flops_below": 300,
            "shape": [8, 8, 2],
            "feature_bytes": 4 * 8 * 8 * 2,
        },
        "blocks": [
            {
                "name": "block1",
                "last_layer": "block1_out",
                "layers": 4,
                "weighted_layers": 2,
                "parameters": 14,
                "frozen_layers": 2,
                "frozen_parameters": 14,
                "trainable_parameters": 0,
                "flops": 300,
            },
            {
                "name": "block2",
                "last_layer": "block2_out",
                "layers": 3,
                "weighted_layers": 2,
                "parameters": 36,
                "frozen_layers": 1,
                "frozen_parameters": 6,
                "trainable_parameters": 30,
                "flops": 100,
            },
        ],
        "layers": [
            row("image", "block1", "InputLayer", 0, "through: block1"),
            row("block1_conv", "block1", "Conv2D", 10, "through: block1"),
            row("block1_bn", "block1", "BatchNormalization", 4, "through: block1"),
            row("block1_out", "block1", "Add", 0, "through: block1"),
            row("block2_conv", "block2", "Conv2D", 30, "trainable", frozen=False),
            row("block2_bn", "block2", "BatchNormalization", 6, "batch_norm: freeze"),
            row("block2_out", "block2", "MaxPooling2D", 0, "trainable", frozen=False),
        ],
        "phases": [],
    }


def row(name, block, kind, parameters, rule, frozen=True):
    return {"name": name, "block": block, "class": kind, "parameters": parameters, "frozen": frozen, "rule": rule}


def test_a_plan_has_the_fields_of_its_document_and_survives_the_file(tmp_path):
    later = {"policy": {"through": "block1"}, "epochs": 3, "learning_rate": 0.01}
    plan = plan_of({"head_only": True, "phases": [later]})
    assert plan.keys() == FreezePlan.__annotations__.keys() - {"schema"}
    assert plan["totals"].keys() == Totals.__annotations__.keys()
    assert plan["boundary"].keys() == Boundary.__annotations__.keys()
    assert plan["phases"][0].keys() == LaterPhase.__annotations__.keys()
    FREEZE_PLAN.write(tmp_path, plan)
    assert FREEZE_PLAN.read(tmp_path) == {"schema": "frostline/freeze_plan/v1", **plan}


def test_a_plan_is_a_pure_function_of_graph_and_policy(inception):
    assert plan_of({"through": "mixed5"}, inception) == plan_of({"through": "mixed5"}, inception)


def test_blocks_of_a_plan_add_up_to_its_totals(inception):
    plan = plan_of({"through": "mixed4"}, inception)
    for key in ("layers", "parameters", "frozen_parameters", "trainable_parameters"):
        assert sum(block[key] for block in plan["blocks"]) == plan["totals"][key]


def test_a_later_phase_is_what_its_policy_alone_would_give():
    later = {"policy": {"through": "block1"}, "epochs": 3, "learning_rate": 0.01}
    alone = plan_of({"through": "block1"})
    (phase,) = plan_of({"head_only": True, "phases": [later]})["phases"]
    assert phase == {
        **later,
        "totals": alone["totals"],
        "boundary": alone["boundary"],
        "frozen": [layer["name"] for layer in alone["layers"] if layer["frozen"]],
    }


def test_without_frozen_weights_next_to_the_image_there_is_no_boundary(inception):
    assert plan_of({"none": True, "batch_norm": "follow"}, inception)["boundary"] is None
    assert plan_of({"blocks": ["block2"]})["boundary"] is None
    assert plan_of({"none": True})["boundary"] is None  # BatchNorm is frozen, but not the convolution before it


def test_a_boundary_inside_a_block_names_the_block():
    boundary = plan_of({"first_layers": 2, "batch_norm": "follow"})["boundary"]
    assert (boundary["layer"], boundary["block"], boundary["parameters_below"]) == ("block1_conv", "block1", 10)


def test_the_boundary_of_a_frozen_backbone_is_the_heads_pooling(inception):
    boundary = plan_of({"head_only": True}, inception)["boundary"]
    assert (boundary["layer"], boundary["block"]) == (POOL, HEAD)
    assert (boundary["shape"], boundary["feature_bytes"]) == ([2048], 8192)
    assert boundary["flops_below"] == sum(layer.flops for layer in inception.layers)
    assert boundary["flops_share"] == 1.0


def test_a_boundary_whose_shape_the_image_size_does_not_determine_is_refused():
    graph = LayerGraph(
        (
            Layer("image", "InputLayer", (), 0),
            Layer("conv", "Conv2D", (0,), 9, shape=(0, 32, 8)),
            Layer("out", "Dense", (1,), 9),
        )
    )
    with pytest.raises(PolicyError, match=r"the boundary conv has shape \[0, 32, 8\], where 0 is a dimension"):
        plan_of({"first_layers": 2}, graph)


def test_a_decay_that_has_no_effect_is_refused():
    with pytest.raises(PolicyError, match=r"layer_lr_decay: received 0\.5, which has no effect"):
        plan_of({"head_only": True, "layer_lr_decay": 0.5})
    later = {"policy": "none", "epochs": 1, "learning_rate": 0.1}
    assert plan_of({"head_only": True, "layer_lr_decay": 0.5, "phases": [later]})["phases"]


def test_a_wrong_policy_of_a_later_phase_is_refused_with_its_place():
    later = {"policy": {"through": "block7"}, "epochs": 1, "learning_rate": 0.1}
    with pytest.raises(PolicyError, match=r"freeze\.phases\.0\.policy\.through: received 'block7'"):
        plan_of({"none": True, "phases": [later]})
