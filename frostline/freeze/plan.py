"""The freeze plan: a freeze section resolved against a backbone, as a file that people and later steps read."""

from __future__ import annotations

import math
from collections.abc import Sequence

from frostline.documents.freeze import Boundary, FreezePlan, LayerRow, Resolved, Totals
from frostline.errors import PolicyError
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import LayerGraph
from frostline.freeze.policy import Verdict, layer_verdicts

POOL = "head_pool"  # the head's pooling: the boundary if the whole backbone is frozen
HEAD = "head"
_FLOAT32 = 4  # bytes


def make_plan(graph: LayerGraph, config: FreezeConfig, *, backbone: str, image_size: int) -> FreezePlan:
    """Resolve a freeze section against `graph`: a pure function of its arguments.

    Returns:
        Totals, boundary, blocks and layers of the first phase; `phases` has an entry per later phase. A boundary is
        None if no cut point has frozen weights and no trainable ones before it.

    Raises:
        PolicyError: a policy cannot be resolved, the learning rate decay has no effect, or the image size does not
            determine the boundary's shape.
    """
    verdicts = layer_verdicts(graph, config, config.batch_norm)
    first = _resolved(graph, verdicts)
    later = [
        _resolved(graph, layer_verdicts(graph, phase.policy, config.batch_norm, field=f"freeze.phases.{number}.policy"))
        for number, phase in enumerate(config.phases)
    ]
    if config.layer_lr_decay != 1.0 and not any(part["totals"]["trainable_parameters"] for part in [first, *later]):
        raise PolicyError(
            f"freeze.layer_lr_decay: received {config.layer_lr_decay}, which has no effect: no layer of the "
            "backbone is trained in any phase"
        )
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
        "layers": _layers(graph, verdicts),
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


def _layers(graph: LayerGraph, verdicts: Sequence[Verdict]) -> list[LayerRow]:
    return [
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


def _resolved(graph: LayerGraph, verdicts: Sequence[Verdict]) -> Resolved:
    return {
        "totals": _totals(graph, verdicts, range(len(graph.layers))),
        "boundary": _boundary(graph, verdicts),
        "frozen": [layer.name for layer, verdict in zip(graph.layers, verdicts, strict=True) if verdict.frozen],
    }


def _totals(graph: LayerGraph, verdicts: Sequence[Verdict], positions: range) -> Totals:
    weighted = [position for position in positions if graph.layers[position].parameters]
    frozen = [position for position in weighted if verdicts[position].frozen]
    total = sum(graph.layers[position].parameters for position in weighted)
    frozen_parameters = sum(graph.layers[position].parameters for position in frozen)
    return {
        "layers": len(positions),
        "weighted_layers": len(weighted),
        "parameters": total,
        "frozen_layers": len(frozen),
        "frozen_parameters": frozen_parameters,
        "trainable_parameters": total - frozen_parameters,
    }


def _boundary(graph: LayerGraph, verdicts: Sequence[Verdict]) -> Boundary | None:
    """The deepest cut point with frozen weights and no trainable ones at or before it.

    If the whole backbone is frozen, the boundary is the head's pooling, which has no weights.
    """
    trainable = next(
        (
            position
            for position, (layer, verdict) in enumerate(zip(graph.layers, verdicts, strict=True))
            if layer.parameters and not verdict.frozen
        ),
        None,
    )
    cuts = [cut for cut in graph.cut_points if trainable is None or cut < trainable]
    below = graph.layers[: cuts[-1] + 1] if cuts else ()
    if not any(layer.parameters for layer in below):
        return None
    whole = trainable is None
    total, flops = sum(layer.flops for layer in graph.layers), sum(layer.flops for layer in below)
    shape = below[-1].shape[-1:] if whole else below[-1].shape  # pooling leaves the channels
    if 0 in shape:
        raise PolicyError(
            f"freeze: the output of the boundary {below[-1].name} has shape {list(below[-1].shape)}, where 0 is a "
            "dimension that image_size does not determine; choose a policy with another boundary"
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
    """The name of each layer's block, by position."""
    return [block.name for block in graph.blocks for _ in range(block.first, block.last + 1)]
