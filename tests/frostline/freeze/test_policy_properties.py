"""What is true for the plan of every graph and every policy, tested on random ones."""

import fnmatch
import math
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from frostline.freeze.graph import LayerGraph
from frostline.freeze.plan import POOL

from tests.support.random_graphs import (
    NORM,
    batch_norms,
    cut_points,
    frozen,
    graphs,
    policies,
    quietly,
    resolved,
)


@quietly
@given(st.data())
def test_a_plan_is_a_pure_function_of_graph_and_policy(data):
    graph = data.draw(graphs())
    policy, batch_norm = data.draw(policies(graph)), data.draw(batch_norms)
    again = LayerGraph(graph.layers)  # nothing cached
    assert (
        resolved(graph, policy, batch_norm)
        == resolved(again, policy, batch_norm)
        == resolved(graph, policy, batch_norm)
    )


@quietly
@given(st.data())
def test_each_policy_freezes_what_its_words_say(data):
    """The rules again, written in another way."""
    graph = data.draw(graphs())
    policy, batch_norm = data.draw(policies(graph)), data.draw(batch_norms)
    plan = resolved(graph, policy, batch_norm)
    assume(plan)
    ((kind, value),) = policy.items()
    block_of, order = {x["name"]: x["block"] for x in plan["layers"]}, [block.name for block in graph.blocks]
    total = _parameters_before(graph, None)
    wanted = {
        "head_only": lambda p, x: True,
        "none": lambda p, x: False,
        "first_layers": lambda p, x: (
            sum(y.is_layer for y in graph.layers[:p]) + x.is_layer <= value
            and (x.is_layer or sum(y.is_layer for y in graph.layers[:p]) < value)
        ),
        "through": lambda p, x: order.index(block_of[x.name]) <= order.index(value),
        "blocks": lambda p, x: any(fnmatch.fnmatchcase(block_of[x.name], pattern) for pattern in value),
        "match": lambda p, x: re.search(value, x.name) is not None,
        "fraction": lambda p, x: (
            _parameters_before(graph, order.index(block_of[x.name])) < value * total
            and (
                _parameters_before(graph, order.index(block_of[x.name]) + 1) <= (value + 0.25) * total
                or sum(y.parameters for y in graph.layers[:p]) < value * total
            )
        ),
    }[kind]
    held = {x.name for p, x in enumerate(graph.layers) if wanted(p, x)}
    norms = {x.name for x in graph.layers if x.kind == NORM} if batch_norm == "freeze" else set()
    assert frozen(plan) == held | norms


def _parameters_before(graph, number):
    """Parameters of the blocks before the one with this number; of all blocks if it is None."""
    return sum(x.parameters for block in graph.blocks[:number] for x in graph.layers[block.first : block.last + 1])


@quietly
@given(st.data())
def test_no_plan_is_vacuous(data):
    """A policy that chooses layers freezes at least one weight by that rule, or is refused."""
    graph = data.draw(graphs())
    policy, batch_norm = data.draw(policies(graph)), data.draw(batch_norms)
    plan = resolved(graph, policy, batch_norm)
    if "none" in policy or "head_only" in policy:
        assert plan
    assume(plan and "none" not in policy)
    assert any(x["frozen"] and x["parameters"] and x["rule"] != "batch_norm: freeze" for x in plan["layers"])
    assert plan["totals"]["frozen_parameters"] > 0


@quietly
@given(st.data())
def test_batch_norm_freeze_leaves_no_batch_norm_trainable_and_changes_nothing_else(data):
    graph = data.draw(graphs())
    policy = data.draw(policies(graph))
    follow, freeze = resolved(graph, policy, "follow"), resolved(graph, policy, "freeze")
    assert (follow is None) == (freeze is None)  # frozen BatchNorm does not make a policy valid that freezes nothing
    assume(follow)
    norms = {x["name"] for x in freeze["layers"] if x["class"] == NORM}
    assert norms <= frozen(freeze)
    assert frozen(freeze) - norms == frozen(follow) - norms


@pytest.mark.parametrize("kind", ["through", "first_layers", "fraction"])
@quietly
@given(data=st.data())
def test_more_is_frozen_the_further_a_policy_reaches(kind, data):
    graph = data.draw(graphs())
    count = len(graph.blocks) if kind == "through" else sum(layer.is_layer for layer in graph.layers)
    if kind == "fraction":
        low, high = sorted(data.draw(st.tuples(st.floats(0.01, 1.0), st.floats(0.01, 1.0))))
    else:
        low, high = sorted(data.draw(st.tuples(st.integers(1, count), st.integers(1, count))))
        if kind == "through":
            low, high = (graph.blocks[number - 1].name for number in (low, high))
    batch_norm = data.draw(batch_norms)
    less, more = (resolved(graph, {kind: value}, batch_norm) for value in (low, high))
    if more is None:
        assert less is None
    if less is None or more is None:
        return
    assert frozen(less) <= frozen(more)
    assert less["totals"]["frozen_parameters"] <= more["totals"]["frozen_parameters"]


@quietly
@given(st.data())
def test_the_boundary_is_the_deepest_cut_point_with_only_frozen_weights_before_it(data):
    graph = data.draw(graphs())
    plan = resolved(graph, data.draw(policies(graph)), data.draw(batch_norms))
    assume(plan)
    held = frozen(plan)
    still = [
        cut
        for cut in cut_points(graph)
        if all(x.name in held for x in graph.layers[: cut + 1] if x.parameters)
        and any(x.parameters for x in graph.layers[: cut + 1])
    ]
    if not still:
        assert plan["boundary"] is None
        return
    below = graph.layers[: still[-1] + 1]
    flops = sum(x.flops for x in graph.layers)
    whole = all(x.name in held for x in graph.layers if x.parameters)
    assert plan["boundary"] == {
        "layer": POOL if whole else below[-1].name,
        "block": "head" if whole else next(b.name for b in graph.blocks if b.first <= still[-1] <= b.last),
        "parameters_below": sum(x.parameters for x in below),
        "flops_share": round(sum(x.flops for x in below) / flops, 6) if flops else 0.0,
        "flops_below": sum(x.flops for x in below),
        "shape": list(below[-1].shape)[-1 if whole else 0 :],
        "feature_bytes": 4 * (below[-1].shape[-1] if whole else math.prod(below[-1].shape)),
    }


@quietly
@given(st.data())
def test_totals_add_up(data):
    graph = data.draw(graphs())
    plan = resolved(graph, data.draw(policies(graph)), data.draw(batch_norms))
    assume(plan)
    totals, layers = plan["totals"], plan["layers"]
    assert totals["layers"] == len(graph.layers)
    assert totals["parameters"] == sum(x.parameters for x in graph.layers)
    assert totals["weighted_layers"] == sum(x["parameters"] > 0 for x in layers)
    assert totals["frozen_layers"] == sum(x["frozen"] and x["parameters"] > 0 for x in layers)
    assert totals["frozen_parameters"] == sum(x["parameters"] for x in layers if x["frozen"])
    assert totals["frozen_parameters"] + totals["trainable_parameters"] == totals["parameters"]
    for key, total in totals.items():
        assert sum(block[key] for block in plan["blocks"]) == total
    assert sum(block["flops"] for block in plan["blocks"]) == sum(x.flops for x in graph.layers)
