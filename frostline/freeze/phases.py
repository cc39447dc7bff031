"""The phases of a plan: frozen layers, epochs and learning rates of each.

The first phase has the freeze section's own policy and the run's epochs and learning rate; the plan's `phases` follow.
Every phase starts with a new optimizer: an old one has no slots for weights that were frozen, stale slots for weights
that become frozen, and the wrong step count for Adam's bias correction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from frostline.documents.freeze import Boundary, FreezePlan, Policy


@dataclass(frozen=True)
class Phase:
    """A phase of training.

    Attributes:
        number: 1 for the first.
        policy: as configured, for messages and the certificate.
        epochs: passes over the training split.
        learning_rate: Adam's step size for the head.
        frozen: names of the frozen layers.
        boundary: the deepest layer with only frozen layers before it; empty if there is none.
        scales: factor of the learning rate by layer; layers that are not in it (the head) use the full rate.
        reusable: the deepest layer up to which nothing has changed since before the first phase or changes in this
            one: features up to it can be computed from the source weights. Empty if there is none.
    """

    number: int
    policy: Policy
    epochs: int
    learning_rate: float
    frozen: frozenset[str]
    boundary: str
    scales: Mapping[str, float] = field(default_factory=dict)
    reusable: str = ""


def phases(plan: FreezePlan, epochs: int, learning_rate: float) -> tuple[Phase, ...]:
    """All phases of a plan, in order: a pure function of its arguments."""
    scales = _scales(plan)
    reusable = _reusable(plan)
    first = frozenset(layer["name"] for layer in plan["layers"] if layer["frozen"])
    found = [Phase(1, _first_policy(plan), epochs, learning_rate, first, _layer(plan["boundary"]), scales, reusable[0])]
    for number, phase in enumerate(plan["phases"], start=2):
        found.append(
            Phase(
                number,
                phase["policy"],
                phase["epochs"],
                phase["learning_rate"],
                frozenset(phase["frozen"]),
                _layer(phase["boundary"]),
                scales,
                reusable[number - 1],
            )
        )
    return tuple(found)


def boundaries(plan: FreezePlan) -> list[Boundary | None]:
    """The boundary of each phase; None where no layer is frozen with all before it."""
    return [plan["boundary"], *(phase["boundary"] for phase in plan["phases"])]


def _first_policy(plan: FreezePlan) -> Policy:
    """The policy of the first phase: the freeze section without the fields that are about all phases."""
    policy = plan["policy"].copy()
    policy.pop("batch_norm", None)
    policy.pop("phases", None)
    policy.pop("layer_lr_decay", None)
    return policy


def _reusable(plan: FreezePlan) -> list[str]:
    """For each phase the shallowest boundary so far; boundaries are cut points, so they are in a fixed order."""
    depth = {layer["name"]: index for index, layer in enumerate(plan["layers"])}
    found: list[str] = []
    for boundary in boundaries(plan):
        so_far = [*found[-1:], _layer(boundary)]
        # The head's pooling is not a layer of the backbone, and deeper than all of them.
        found.append(min(so_far, key=lambda name: depth.get(name, len(depth))) if all(so_far) else "")
    return found


def _layer(boundary: Boundary | None) -> str:
    return boundary["layer"] if boundary else ""


def _scales(plan: FreezePlan) -> dict[str, float]:
    """Factors that fall by `layer_lr_decay` from each block to the one before it, from the head backwards.

    Source: discriminative fine-tuning, J. Howard and S. Ruder, "Universal Language Model Fine-tuning for Text
    Classification", ACL 2018, section 3.2.
    """
    decay = plan["policy"].get("layer_lr_decay", 1.0)
    if decay == 1.0:
        return {}
    depth = {block["name"]: index for index, block in enumerate(reversed(plan["blocks"]), start=1)}
    return {layer["name"]: decay ** depth[layer["block"]] for layer in plan["layers"] if layer["parameters"]}
