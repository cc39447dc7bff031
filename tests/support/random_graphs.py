"""Random layer graphs and policies, for tests of what is true for each of them."""

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st

from frostline.errors import PolicyError
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import Layer, LayerGraph
from frostline.freeze.plan import make_plan

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
