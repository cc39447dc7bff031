"""What is true for the phases of every plan, tested on random graphs and policies."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from frostline.errors import PolicyError
from frostline.freeze.phases import phases
from frostline.freeze.plan import POOL

from tests.support.plans import frozen_layers
from tests.support.random_graphs import batch_norms, cut_points, frozen, graphs, plan_of, policies, quietly, resolved


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
