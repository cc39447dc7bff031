"""The freeze plan: a policy resolved against a backbone, as a file that people and later steps read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from frostline.artifacts import Json
from frostline.errors import PolicyError
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import LayerGraph
from frostline.freeze.policy import Verdict, layer_verdicts

POOL = "head_pool"  # the head's pooling: the boundary where the whole backbone is frozen
HEAD = "head"
_FLOAT32 = 4  # bytes


def make_plan(graph: LayerGraph, config: FreezeConfig, *, backbone: str, image_size: int) -> Json:
    """Resolve a freeze section against `graph`: a pure function of its arguments.

    Returns:
        backbone, image_size, policy (the section as configured), blocks, and of the first phase totals, boundary and
        layers; `phases` has one entry for each further phase: policy, epochs, learning_rate, totals, boundary and
        frozen (names of the layers). Parameters count every weight of a layer, statistics included. `boundary` is
        null where nothing below any cut point is wholly frozen; else it has layer, block, parameters_below,
        flops_share (0..1), flops_below (of a forward pass over one image), and what comes out for one image there:
        shape ([height, width, channels]; of the head's pooling [channels]) and feature_bytes (as float32).

    Raises:
        PolicyError: a policy cannot be resolved, or the size of the image does not fix the boundary's shape.
    """
    verdicts = layer_verdicts(graph, config, config.batch_norm)
    first = _resolved(graph, verdicts)
    later = [
        _resolved(graph, layer_verdicts(graph, phase.policy, config.batch_norm, field=f"freeze.phases.{number}.policy"))
        for number, phase in enumerate(config.phases)
    ]
    if config.layer_lr_decay != 1.0 and not any(part["totals"]["trainable_parameters"] for part in [first, *later]):
        raise PolicyError(
            f"freeze.layer_lr_decay: received {config.layer_lr_decay}, which changes nothing: no layer of the backbone "
            "trains in any phase"
        )
    layers = [
        {
            "name": layer.name,
            "block": block,
            "class": layer.kind,
            "parameters": layer.parameters,
            "frozen": verdict.frozen,
            "rule": verdict.rule,
        }
        for layer, block, verdict in zip(graph.layers, _block_of(graph), verdicts, strict=True)
    ]
    return {
        "backbone": backbone,
        "image_size": image_size,
        "policy": config.section(),
        "totals": first["totals"],
        "boundary": first["boundary"],
        "blocks": [
            {
                "name": block.name,
                "last_layer": graph.layers[block.last].name,
                **_totals(graph, verdicts, range(block.first, block.last + 1)),
                "flops": sum(layer.flops for layer in graph.layers[block.first : block.last + 1]),
            }
            for block in graph.blocks
        ],
        "layers": layers,
        "phases": [
            {
                "policy": phase.policy.policy(),
                "epochs": phase.epochs,
                "learning_rate": phase.learning_rate,
                **resolved,
            }
            for phase, resolved in zip(config.phases, later, strict=True)
        ],
    }


def _resolved(graph: LayerGraph, verdicts: Sequence[Verdict]) -> Json:
    return {
        "totals": _totals(graph, verdicts, range(len(graph.layers))),
        "boundary": _boundary(graph, verdicts),
        "frozen": [layer.name for layer, verdict in zip(graph.layers, verdicts, strict=True) if verdict.frozen],
    }


def _totals(graph: LayerGraph, verdicts: Sequence[Verdict], positions: range) -> Json:
    weighted = [position for position in positions if graph.layers[position].parameters]
    frozen = [position for position in weighted if verdicts[position].frozen]
    total, held = (sum(graph.layers[position].parameters for position in some) for some in (weighted, frozen))
    return {
        "layers": len(positions),
        "weighted_layers": len(weighted),
        "parameters": total,
        "frozen_layers": len(frozen),
        "frozen_parameters": held,
        "trainable_parameters": total - held,
    }


def _boundary(graph: LayerGraph, verdicts: Sequence[Verdict]) -> dict[str, Any] | None:
    """The deepest cut point such that every layer with weights at or before it is frozen, and at least one is.

    Where that is the whole backbone, the head's pooling is still below it: nothing in it moves either.
    """
    moving = next(
        (
            position
            for position, (layer, verdict) in enumerate(zip(graph.layers, verdicts, strict=True))
            if layer.parameters and not verdict.frozen
        ),
        None,
    )
    cuts = [cut for cut in graph.cut_points if moving is None or cut < moving]
    below = graph.layers[: cuts[-1] + 1] if cuts else ()
    if not any(layer.parameters for layer in below):
        return None
    whole = moving is None
    total, flops = (sum(layer.flops for layer in some) for some in (graph.layers, below))
    shape = below[-1].shape[-1:] if whole else below[-1].shape  # pooling leaves the channels
    if 0 in shape:
        raise PolicyError(
            f"freeze: the boundary {below[-1].name} has an output of {list(below[-1].shape)}, where 0 is a dimension "
            "that image_size does not fix; choose a policy with another boundary"
        )
    return {
        "layer": POOL if whole else below[-1].name,
        "block": HEAD if whole else _block_of(graph)[cuts[-1]],
        "parameters_below": sum(layer.parameters for layer in below),
        "flops_share": round(flops / total, 6) if total else 0.0,
        "flops_below": flops,
        "shape": list(shape),
        "feature_bytes": _FLOAT32 * math.prod(shape),
    }


def _block_of(graph: LayerGraph) -> list[str]:
    """Name of each layer's block, by position."""
    return [block.name for block in graph.blocks for _ in range(block.first, block.last + 1)]
