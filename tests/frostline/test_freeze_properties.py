"""What holds for every layer graph and every policy, on graphs and policies that Hypothesis draws."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline.errors import PolicyError
from frostline.freeze.graph import Layer, LayerGraph
from frostline.freeze.plan import make_plan
from frostline.freeze.policy import resolve
from frostline.freeze_config import FreezeConfig, PolicyConfig

WEIGHTED = ("Dense", "Conv2D", "BatchNormalization")
WEIGHTLESS = ("ReLU", "Add", "Multiply", "Concatenate", "MaxPooling2D")


@st.composite
def graphs(draw):
    """Directed acyclic graphs with one input and one output, of which at least one layer owns weights."""
    size = draw(st.integers(2, 14))
    parents = [set()]
    for position in range(1, size):
        # mostly the layer just before, so that there are cut points; sometimes any others, so that edges jump
        near = {position - 1} if draw(st.integers(0, 3)) else set()
        far = draw(st.sets(st.integers(0, position - 1), min_size=0 if near else 1, max_size=2))
        parents.append(near | far)
    used = set().union(*parents)
    parents[-1] |= set(range(size - 1)) - used  # what nobody takes goes to the output
    owner = draw(st.integers(1, size - 1))
    layers = [Layer("image", "InputLayer", (), 0)]
    for position in range(1, size):
        kind = draw(st.sampled_from(WEIGHTED if position == owner else WEIGHTED + WEIGHTLESS))
        # names of the spellings that architectures use for their blocks, in any order, and names that tell nothing
        name = draw(st.sampled_from(("layer", "block1", "block2", "block_3", "conv2_block1", "expanded_conv")))
        merges = kind == "Concatenate" and draw(st.booleans())
        layers.append(
            Layer(
                f"mixed{position}" if merges else f"{name}_x{position}",
                kind,
                tuple(sorted(parents[position])),
                draw(st.integers(1, 9)) if kind in WEIGHTED else 0,
                draw(st.integers(1, 99)) if kind in ("Dense", "Conv2D") else 0,
                kind in WEIGHTED or draw(st.booleans()),
            )
        )
    return LayerGraph(tuple(layers))


@st.composite
def cases(draw):
    """A graph and a freeze section for it; the section may be vacuous."""
    graph = draw(graphs())
    names = [block.name for block in graph.blocks]
    policy = draw(
        st.one_of(
            st.just({"head_only": True}),
            st.just({"none": True}),
            st.integers(1, sum(layer.is_layer for layer in graph.layers)).map(lambda n: {"first_layers": n}),
            st.sampled_from(names).map(lambda name: {"through": name}),
            st.lists(st.sampled_from([*names, "block*", "*"]), min_size=1, max_size=3).map(lambda b: {"blocks": b}),
            st.sampled_from([layer.name for layer in graph.layers]).map(lambda name: {"match": f"^{name}$"}),
            st.sampled_from(["block", "x[1-5]$", "^(?!layer)", "mixed"]).map(lambda pattern: {"match": pattern}),
            st.floats(0, 1, exclude_min=True).map(lambda share: {"fraction": share}),
        )
    )
    return graph, FreezeConfig(**policy, batch_norm=draw(st.sampled_from(["freeze", "follow"])))


def plan_of(graph, config):
    return make_plan(graph, config, backbone="any", image_size=32)


def planned(graph, config):
    """The plan, or nothing where the policy is refused."""
    try:
        return plan_of(graph, config)
    except PolicyError:
        return None


def reached(graph, removed=None):
    """Positions that a path from the input leads to, by walking forwards without one layer."""
    found, waiting = set(), [0]
    while waiting:
        here = waiting.pop()
        if here != removed and here not in found:
            found.add(here)
            waiting += [child for child, layer in enumerate(graph.layers) if here in layer.parents]
    return found


def separators(graph):
    """Positions without which the output is out of reach."""
    last = len(graph.layers) - 1
    return [position for position in range(last + 1) if last not in reached(graph, position)]


def before(graph, position):
    """Positions at or before a layer: itself, its parents, theirs, and so on."""
    return {position}.union(*(before(graph, parent) for parent in graph.layers[position].parents))


def frozen(graph, batch_norm, **policy):
    """Positions that a policy freezes; none where it is refused as vacuous."""
    try:
        verdicts = resolve(graph, PolicyConfig(**policy), batch_norm)
    except PolicyError:
        return set()
    return {position for position, verdict in enumerate(verdicts) if verdict.frozen}


@given(graphs())
def test_cut_points_are_what_separates_input_from_output(graph):
    assert list(graph.cut_points) == separators(graph)


@given(graphs())
def test_ancestors_are_what_a_walk_back_finds(graph):
    for position in range(len(graph.layers)):
        assert graph.ancestors(position) == before(graph, position)


@given(graphs())
def test_blocks_cover_every_layer_once_in_order_and_end_at_cut_points(graph):
    blocks = graph.blocks
    assert [p for b in blocks for p in range(b.first, b.last + 1)] == list(range(len(graph.layers)))
    assert {block.last for block in blocks} <= set(separators(graph))
    assert len({block.name for block in blocks}) == len(blocks)


@given(graphs(), st.sampled_from(["freeze", "follow"]), st.lists(st.floats(0, 1, exclude_min=True), min_size=1))
def test_more_is_frozen_the_further_a_policy_goes(graph, batch_norm, shares):
    counts = range(1, sum(layer.is_layer for layer in graph.layers) + 1)
    steps = (
        [{"through": block.name} for block in graph.blocks],
        [{"first_layers": count} for count in counts],
        [{"fraction": share} for share in sorted(shares)],
    )
    for policies in steps:
        sets = [frozen(graph, batch_norm, **policy) for policy in policies]
        assert all(less <= more for less, more in zip(sets, sets[1:], strict=False))
    everything = set(range(len(graph.layers)))
    assert frozen(graph, batch_norm, through=graph.blocks[-1].name) == everything


@given(graphs(), st.floats(0, 1, exclude_min=True))
def test_a_fraction_is_reached_with_the_fewest_blocks(graph, share):
    held = frozen(graph, "follow", fraction=share)
    sizes = [sum(layer.parameters for layer in graph.layers[b.first : b.last + 1]) for b in graph.blocks]
    prefixes = [sum(sizes[: count + 1]) for count in range(len(sizes))]
    enough = next(size for size in prefixes if size >= share * sum(sizes))
    assert sum(graph.layers[position].parameters for position in held) == enough


@given(cases(), cases())
def test_a_plan_is_a_pure_function_of_graph_and_policy(case, other):
    graph, config = case
    first = planned(LayerGraph(graph.layers), config)
    text = json.dumps(first)
    planned(*other)
    planned(graph, other[1])
    assert planned(graph, config) == first
    assert json.dumps(first) == text  # a plan made before is not changed by one made after


@given(cases())
@settings(max_examples=300)
def test_the_boundary_is_the_deepest_cut_point_with_everything_before_it_frozen(case):
    graph, config = case
    plan = planned(graph, config)
    if plan is None:
        return
    still = [layer["frozen"] for layer in plan["layers"]]
    weighted = [layer.parameters > 0 for layer in graph.layers]
    fits = []
    for cut in separators(graph):
        owners = [position for position in before(graph, cut) if weighted[position]]
        if owners and all(still[position] for position in owners):
            fits.append(cut)
    if not fits:
        assert plan["boundary"] is None
        return
    boundary, below = plan["boundary"], [graph.layers[position] for position in before(graph, fits[-1])]
    whole = all(frozen for frozen, owns in zip(still, weighted, strict=True) if owns)
    assert boundary["layer"] == ("head_pool" if whole else graph.layers[fits[-1]].name)
    assert boundary["parameters_below"] == sum(layer.parameters for layer in below)
    flops = sum(layer.flops for layer in graph.layers)
    share = sum(layer.flops for layer in below) / flops if flops else 0.0
    assert boundary["flops_share"] == pytest.approx(share, abs=1e-6)


@given(cases())
def test_totals_add_up(case):
    graph, config = case
    plan = planned(graph, config)
    if plan is None:
        return
    totals, owners = plan["totals"], [layer for layer in plan["layers"] if layer["parameters"]]
    held = [layer["parameters"] for layer in owners if layer["frozen"]]
    assert totals == {
        "layers": len(graph.layers),
        "weighted_layers": len(owners),
        "parameters": sum(layer.parameters for layer in graph.layers),
        "frozen_layers": len(held),
        "frozen_parameters": sum(held),
        "trainable_parameters": totals["parameters"] - sum(held),
    }
    for key, value in totals.items():
        assert sum(block[key] for block in plan["blocks"]) == value
    assert sum(block["flops"] for block in plan["blocks"]) == sum(layer.flops for layer in graph.layers)


@given(cases())
def test_a_policy_that_freezes_no_weight_of_its_own_is_refused(case):
    graph, config = case
    # with `follow` BatchNorm adds nothing: what is frozen then is what the policy itself chose
    own = FreezeConfig(**config.policy(), batch_norm="follow")
    alone, plan = planned(graph, own), planned(graph, config)
    assert (alone is None) == (plan is None)
    if config.none:
        assert alone["totals"]["frozen_parameters"] == 0
    elif alone is not None:
        assert alone["totals"]["frozen_parameters"] > 0


@given(cases())
def test_frozen_batch_norm_leaves_none_trainable_and_freezes_nothing_else(case):
    graph, config = case
    held, following = (
        planned(graph, FreezeConfig(**config.policy(), batch_norm=batch_norm)) for batch_norm in ("freeze", "follow")
    )
    if held is None:
        return
    for kept, followed in zip(held["layers"], following["layers"], strict=True):
        assert kept["frozen"] == (followed["frozen"] or kept["class"] == "BatchNormalization")


@given(cases(), cases())
def test_a_later_phase_is_planned_as_if_it_were_the_first(case, later):
    graph, config = case
    policy = later[1].policy()  # names what another graph has, so it may be refused here
    phase = {"policy": policy, "epochs": 1, "learning_rate": 0.1}
    alone = planned(graph, FreezeConfig(**policy, batch_norm=config.batch_norm))
    both = planned(graph, FreezeConfig(**config.policy(), batch_norm=config.batch_norm, phases=[phase]))
    if alone is None or planned(graph, config) is None:
        assert both is None
        return
    second = both["phases"][0]
    assert (second["totals"], second["boundary"]) == (alone["totals"], alone["boundary"])
    assert second["frozen"] == [layer["name"] for layer in alone["layers"] if layer["frozen"]]
