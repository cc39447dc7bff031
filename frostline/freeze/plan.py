"""The freeze plan: a policy resolved against a backbone, for people and for the steps after this one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from frostline.documents.freeze import BlockRow, Boundary, FreezePlan, LaterPhase, LayerRow, Resolved, Totals
from frostline.errors import PolicyError
from frostline.freeze.config import FreezeConfig, PhaseConfig
from frostline.freeze.graph import Block, LayerGraph
from frostline.freeze.policy import Verdict, layer_verdicts

POOL = "head_pool"  # the head's pooling: the boundary if the whole backbone is frozen
HEAD = "head"
_FLOAT32 = 4  # bytes


def make_plan(graph: LayerGraph, config: FreezeConfig, *, backbone: str, image_size: int) -> FreezePlan:
    """Resolve a freeze section against `graph`: a pure function of its arguments.

    Args:
        graph: layers of the backbone.
        config: the freeze section.
        backbone: name of the backbone, for the record.
        image_size: height and width of the input in pixels, for the record.

    Raises:
        PolicyError: a policy cannot be resolved, or the image size does not determine the boundary's shape.
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
    return {
        "backbone": backbone,
        "image_size": image_size,
        "policy": config.section(),
        "totals": first["totals"],
        "boundary": first["boundary"],
        "blocks": [_block(graph, verdicts, block) for block in graph.blocks],
        "layers": _layers(graph, verdicts),
        "phases": [_later(phase, resolved) for phase, resolved in zip(config.phases, later, strict=True)],
    }


def _block(graph: LayerGraph, verdicts: Sequence[Verdict], block: Block) -> BlockRow:
    return {
        "name": block.name,
        "last_layer": graph.layers[block.last].name,
        **_totals(graph, verdicts, range(block.first, block.last + 1)),
        "flops": sum(layer.flops for layer in graph.layers[block.first : block.last + 1]),
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


def _later(phase: PhaseConfig, resolved: Resolved) -> LaterPhase:
    return {
        "policy": phase.policy.policy(),
        "epochs": phase.epochs,
        "learning_rate": phase.learning_rate,
        **resolved,
    }


def _resolved(graph: LayerGraph, verdicts: Sequence[Verdict]) -> Resolved:
    return {
        "totals": _totals(graph, verdicts, range(len(graph.layers))),
        "boundary": _boundary(graph, verdicts),
        "frozen": [layer.name for layer, verdict in zip(graph.layers, verdicts, strict=True) if verdict.frozen],
    }


def _totals(graph: LayerGraph, verdicts: Sequence[Verdict], positions: range) -> Totals:
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


def _boundary(graph: LayerGraph, verdicts: Sequence[Verdict]) -> Boundary | None:
    """The deepest cut point such that every layer with weights at or before it is frozen, and at least one is.

    If that is the whole backbone, the boundary is the head's pooling, which has no weights.
    """
    first_trainable = next(
        (
            position
            for position, (layer, verdict) in enumerate(zip(graph.layers, verdicts, strict=True))
            if layer.parameters and not verdict.frozen
        ),
        None,
    )
    cuts = [cut for cut in graph.cut_points if first_trainable is None or cut < first_trainable]
    below = graph.layers[: cuts[-1] + 1] if cuts else ()
    if not any(layer.parameters for layer in below):
        return None
    whole = first_trainable is None
    total, flops = (sum(layer.flops for layer in some) for some in (graph.layers, below))
    shape = below[-1].shape[-1:] if whole else below[-1].shape  # pooling leaves the channels
    if 0 in shape:
        raise PolicyError(
            f"freeze: the boundary {below[-1].name} has an output of {list(below[-1].shape)}, where 0 is a dimension "
            "that image_size does not determine; choose a policy with another boundary"
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
    """Name of the block of each layer, by position."""
    return [block.name for block in graph.blocks for _ in range(block.first, block.last + 1)]
