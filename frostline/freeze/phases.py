"""The phases of a plan: what is frozen in each, for how long, and how fast each layer learns.

The first phase is the policy itself, with the run's epochs and learning rate; the plan's `phases` follow. Every phase
starts with an optimizer of its own: slots of a weight that was frozen do not exist, those of one that becomes frozen
would be stale, and Adam's bias correction counts its own steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from frostline.artifacts import Json
from frostline.freeze.config import POLICIES


@dataclass(frozen=True)
class Phase:
    """One phase of training.

    Attributes:
        number: 1 for the first.
        policy: the policy as configured, for messages and the certificate.
        epochs: passes over the training split.
        learning_rate: Adam's step size for the head.
        frozen: names of the frozen layers.
        boundary: name of the layer up to which nothing moves; empty for none.
        scales: multiple of the learning rate by layer; a layer that is not in it (the head) learns at the full rate.
        reusable: name of the layer up to which nothing has moved since before the first phase, nor moves in this one:
            features computed from the source weights are right up to it. Empty for none.
    """

    number: int
    policy: Json
    epochs: int
    learning_rate: float
    frozen: frozenset[str]
    boundary: str
    scales: Mapping[str, float] = field(default_factory=dict)
    reusable: str = ""


def phases(plan: Json, epochs: int, learning_rate: float) -> tuple[Phase, ...]:
    """All phases of a plan, in order: a pure function of its arguments."""
    scales = _scales(plan)
    reusable = _reusable(plan)
    first = frozenset(layer["name"] for layer in plan["layers"] if layer["frozen"])
    policy = {key: value for key, value in plan["policy"].items() if key in POLICIES}
    found = [Phase(1, policy, epochs, learning_rate, first, _layer(plan["boundary"]), scales, reusable[0])]
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


def _reusable(plan: Json) -> list[str]:
    """For each phase the shallowest boundary so far: all are cut points of one graph, so each has those before it."""
    depth = {layer["name"]: index for index, layer in enumerate(plan["layers"])}
    found: list[str] = []
    for boundary in (plan["boundary"], *(phase["boundary"] for phase in plan["phases"])):
        so_far = [*found[-1:], _layer(boundary)]
        # The head's pooling is none of the backbone's layers, and deeper than all of them.
        found.append(min(so_far, key=lambda name: depth.get(name, len(depth))) if all(so_far) else "")
    return found


def _layer(boundary: Json | None) -> str:
    return str(boundary["layer"]) if boundary else ""


def _scales(plan: Json) -> dict[str, float]:
    """Learning rates that fall by `layer_lr_decay` from each block to the one below it; the last block's falls once.

    Source: discriminative fine-tuning, J. Howard and S. Ruder, "Universal Language Model Fine-tuning for Text
    Classification", ACL 2018, section 3.2.
    """
    decay = plan["policy"].get("layer_lr_decay", 1.0)
    if decay == 1.0:
        return {}
    depth = {block["name"]: index for index, block in enumerate(reversed(plan["blocks"]), start=1)}
    return {layer["name"]: decay ** depth[layer["block"]] for layer in plan["layers"] if layer["parameters"]}
