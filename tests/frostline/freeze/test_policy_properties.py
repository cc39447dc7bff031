"""What is true for every graph and every policy, tested on random ones."""

import fnmatch
import math
import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from frostline.errors import PolicyError
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import Layer, LayerGraph
from frostline.freeze.phases import phases
from frostline.freeze.plan import POOL, make_plan

from tests.support.plans import frozen_layers

NORM = "BatchNormalization"
WEIGHTED, WEIGHTLESS = ("Conv2D", "Dense", NORM), ("ReLU", "Add", "Concatenate", "Multiply", "MaxPooling2D")
# names with and without a block in them
NAMES = ("conv2d_{}", "activation_{}", "mixed{}", "block{}_conv", "conv2_block{}_1_conv", "block_{}_expand", "add_{}")

quietly = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@st.composite
def graphs(draw, weighted=True):
    """A DAG as Keras gives one: the input first, the output last, and every layer on a path between them."""
    size = draw(st.integers(2, 14))
    parents = [()]
    for position in range(1, size):
        found = draw(st.sets(st.integers(max(0, position - 4), position - 1), min_size=1, max_size=3))
        parents.append(tuple(sorted(found)))
    used = {parent for some in parents[:-1] for parent in some}
    parents[-1] = tuple(sorted({*parents[-1], *(p for p in range(size - 1) if p not in used)}))  # no dead ends
    layers = [Layer("image", "InputLayer", (), 0)]
    for position in range(1, size):
        kind = draw(st.sampled_from(WEIGHTED + WEIGHTLESS))
        parameters = draw(st.integers(1, 50)) if kind in WEIGHTED else 0
        name = draw(st.sampled_from(NAMES)).format(draw(st.integers(1, 4)))
        if any(layer.name == name for layer in layers):
            name = f"{name}_twin{position}"
        flops = draw(st.integers(0, 99)) if parameters else 0
        shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
        is_layer = parameters > 0 or draw(st.booleans())
        layers.append(Layer(name, kind, parents[position], parameters, flops, is_layer, shape))
    graph = LayerGraph(tuple(layers))
    assume(not weighted or any(layer.parameters for layer in layers))
    return graph


@st.composite
def policies(draw, graph):
    """A policy of any kind, usually one that can be resolved."""
    blocks = [block.name for block in graph.blocks]
    kind = draw(st.sampled_from(("head_only", "none", "first_layers", "through", "blocks", "match", "fraction")))
    value = {
        "head_only": st.just(True),
        "none": st.just(True),
        "first_layers": st.integers(1, len(graph.layers) + 1),
        "through": st.sampled_from([*blocks, "nowhere"]),
        "blocks": st.lists(st.sampled_from([*blocks, "block*", "*", "mixed?"]), min_size=1, max_size=3).map(tuple),
        "match": st.sampled_from(["conv", "_1", "^mixed", ".", "add", "block"]),
        "fraction": st.floats(0.01, 1.0),
    }[kind]
    return {kind: draw(value)}


batch_norms = st.sampled_from(["freeze", "follow"])


def plan_of(graph, policy, batch_norm="follow", **more):
    return make_plan(graph, FreezeConfig(**policy, batch_norm=batch_norm, **more), backbone="Random", image_size=32)


def resolved(graph, policy, batch_norm="follow"):
    """The plan, or None if the policy is refused."""
    try:
        return plan_of(graph, policy, batch_norm)
    except PolicyError as error:
        assert "\n" not in str(error)
        return None


def frozen(plan):
    return {layer["name"] for layer in plan["layers"] if layer["frozen"]}


def paths(graph, position=None):
    """Every path from the input to a layer, the last by default, as sets of positions: brute force."""
    position = len(graph.layers) - 1 if position is None else position
    parents = graph.layers[position].parents
    return [path | {position} for parent in parents for path in paths(graph, parent)] or [{position}]


def cut_points(graph):
    """Positions that are on every path."""
    return sorted(set.intersection(*paths(graph)))


@quietly
@given(graphs(weighted=False))
def test_cut_points_are_on_every_path(graph):
    assert list(graph.cut_points) == cut_points(graph)


@quietly
@given(graphs(weighted=False), st.data())
def test_ancestors_are_on_some_path_that_ends_there(graph, data):
    position = data.draw(st.integers(0, len(graph.layers) - 1))
    assert graph.ancestors(position) == set.union(*paths(graph, position))


@quietly
@given(graphs(weighted=False))
def test_blocks_cover_every_layer_once_and_end_at_cut_points(graph):
    blocks = graph.blocks
    assert [p for b in blocks for p in range(b.first, b.last + 1)] == list(range(len(graph.layers)))
    assert all(block.last in graph.cut_points for block in blocks)
    assert len({block.name for block in blocks}) == len(blocks)


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
        "fraction": lambda p, x: _parameters_before(graph, order.index(block_of[x.name])) < value * total,
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


@quietly
@given(st.data())
def test_each_phase_is_the_plan_that_its_policy_alone_would_make(data):
    graph = data.draw(graphs())
    first, second, batch_norm = data.draw(policies(graph)), data.draw(policies(graph)), data.draw(batch_norms)
    alone = [resolved(graph, policy, batch_norm) for policy in (first, second)]
    section = ({"policy": second, "epochs": 3, "learning_rate": 0.02},)
    if None in alone:
        with pytest.raises(PolicyError):
            plan_of(graph, first, batch_norm, phases=section)
        return
    plan = plan_of(graph, first, batch_norm, phases=section)
    found = phases(plan, 1, 0.1)
    assert [set(phase.frozen) for phase in found] == [frozen(x) for x in alone]
    assert [phase.boundary for phase in found] == [(x["boundary"] or {"layer": ""})["layer"] for x in alone]
    assert [(phase.epochs, phase.learning_rate) for phase in found] == [(1, 0.1), (3, 0.02)]
    weighted = {x.name for x in graph.layers if x.parameters}
    assert frozen_layers(plan) == [frozen(x) & weighted for x in alone]


@quietly
@given(st.data(), st.floats(0.05, 0.95))
def test_learning_rates_fall_by_the_same_factor_from_each_block_to_the_one_below(data, decay):
    graph = data.draw(graphs())
    plan = plan_of(graph, {"none": True}, layer_lr_decay=decay)
    scales = phases(plan, 1, 0.1)[0].scales
    assert scales.keys() == {x.name for x in graph.layers if x.parameters}
    for depth, block in enumerate(reversed(graph.blocks), start=1):
        for layer in graph.layers[block.first : block.last + 1]:
            if layer.parameters:
                assert scales[layer.name] == pytest.approx(decay**depth)


@quietly
@given(st.data())
def test_up_to_a_phases_reusable_layer_nothing_has_changed_since_the_source(data):
    """The deepest such cut point, found again from the layers that each phase freezes."""
    graph = data.draw(graphs())
    chosen = [data.draw(policies(graph)) for _ in range(3)]
    assume(None not in [resolved(graph, policy) for policy in chosen])
    later = tuple({"policy": policy, "epochs": 1, "learning_rate": 0.1} for policy in chosen[1:])
    still = {x.name for x in graph.layers}
    for phase in phases(plan_of(graph, chosen[0], phases=later), 1, 0.1):
        still &= phase.frozen
        moved = [p for p, x in enumerate(graph.layers) if x.parameters and x.name not in still]
        cuts = [cut for cut in cut_points(graph) if not moved or cut < moved[0]]
        some = cuts and any(x.parameters for x in graph.layers[: cuts[-1] + 1])
        whole = POOL if not moved else graph.layers[cuts[-1]].name if cuts else ""
        assert phase.reusable == (whole if some else "")
