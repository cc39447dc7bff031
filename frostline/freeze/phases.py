"""The phases of a plan: what is frozen in each, for how many epochs, and how fast each layer learns.

The first phase is the run's own policy, with the run's epochs and learning rate; the plan's `phases` follow. Every
phase starts with a new optimizer: a weight that was frozen has no slots, the slots of a weight that becomes frozen
would be stale, and Adam's bias correction counts steps from its own start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from frostline.documents.freeze import Boundary, FreezePlan, Policy


@dataclass(frozen=True)
class Phase:
    """One phase of training.

    Attributes:
        number: 1 for the first.
        policy: the policy as configured, for the certificate.
        epochs: passes over the training split.
        learning_rate: step size of the optimizer for the head.
        frozen: names of the frozen layers.
        boundary: name of the layer up to which no weight changes in this phase; empty for none.
        scales: factor of the learning rate by layer; a layer without one (of the head) learns at the full rate.
        reusable: name of the layer up to which no weight changes from the start of training to the end of this phase,
            so that features computed from the source weights are valid up to it. Empty for none.
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
    found = [Phase(1, _policy(plan), epochs, learning_rate, first, _layer(plan["boundary"]), scales, reusable[0])]
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


def _policy(plan: FreezePlan) -> Policy:
    """The policy of the first phase, without the other settings of the section."""
    policy = plan["policy"].copy()
    policy.pop("batch_norm", None)
    policy.pop("phases", None)
    policy.pop("layer_lr_decay", None)
    return policy


def _reusable(plan: FreezePlan) -> list[str]:
    """For each phase the shallowest boundary so far: all boundaries are cut points, so a deeper one includes it."""
    depth = {layer["name"]: index for index, layer in enumerate(plan["layers"])}
    found: list[str] = []
    for boundary in (plan["boundary"], *(phase["boundary"] for phase in plan["phases"])):
        so_far = [*found[-1:], _layer(boundary)]
        # The head's pooling is not among the backbone's layers, and deeper than all of them.
        found.append(min(so_far, key=lambda name: depth.get(name, len(depth))) if all(so_far) else "")
    return found


def _layer(boundary: Boundary | None) -> str:
    return boundary["layer"] if boundary else ""


def _scales(plan: FreezePlan) -> dict[str, float]:
    """Factor of the learning rate by layer: `layer_lr_decay` to the power of 1 in the last block, 2 in the next, ...

    Source: discriminative fine-tuning, J. Howard and S. Ruder, "Universal Language Model Fine-tuning for Text
    Classification", ACL 2018, section 3.2.
    """
    decay = plan["policy"].get("layer_lr_decay", 1.0)
    if decay == 1.0:
        return {}
    depth = {block["name"]: index for index, block in enumerate(reversed(plan["blocks"]), start=1)}
    return {layer["name"]: decay ** depth[layer["block"]] for layer in plan["layers"] if layer["parameters"]}
