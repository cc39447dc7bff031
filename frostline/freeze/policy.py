"""A freeze policy resolved against a layer graph: which layers are frozen, and by which rule."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from frostline.config import FreezeConfig
from frostline.errors import PolicyError
from frostline.freeze.graph import LayerGraph

_BATCH_NORM = "BatchNormalization"


@dataclass(frozen=True)
class Verdict:
    """Whether a layer is frozen, and the rule that decided."""

    frozen: bool
    rule: str


def resolve(graph: LayerGraph, policy: FreezeConfig) -> tuple[Verdict, ...]:
    """One verdict a layer, in the graph's order. The head is not in the graph and is never frozen.

    Raises:
        PolicyError: the policy names an unknown block, or matches no layer that owns weights.
    """
    last = _last_frozen(graph, policy)
    rule = _spelled(policy)
    verdicts = []
    for position, layer in enumerate(graph.layers):
        if position <= last:
            verdicts.append(Verdict(True, rule))
        elif layer.kind == _BATCH_NORM and policy.batch_norm == "freeze":
            verdicts.append(Verdict(True, "batch_norm: freeze"))
        else:
            verdicts.append(Verdict(False, rule))
    if last >= 0 and not any(layer.parameters for layer in graph.layers[: last + 1]):
        raise PolicyError(f"freeze.through: received {policy.through!r}, which holds no layer with weights")
    return tuple(verdicts)


def _last_frozen(graph: LayerGraph, policy: FreezeConfig) -> int:
    """Position of the last layer that the policy itself freezes; -1 for none."""
    if policy.none:
        return -1
    if policy.head_only:
        return len(graph.layers) - 1
    blocks = {block.name: block for block in graph.blocks()}
    if policy.through not in blocks:
        near = difflib.get_close_matches(policy.through, blocks, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}? " if near else ""
        raise PolicyError(
            f"freeze.through: received {policy.through!r}, which is no block of this backbone; "
            f"{hint}Its blocks are {', '.join(blocks)}"
        )
    return blocks[policy.through].last


def _spelled(policy: FreezeConfig) -> str:
    return f"through: {policy.through}" if policy.through else ("head_only" if policy.head_only else "none")
