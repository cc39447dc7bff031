"""The freeze plan: a policy resolved against a backbone, as a file that people and later steps read."""

from __future__ import annotations

from typing import Any

from frostline.artifacts import Json
from frostline.config import FreezeConfig
from frostline.freeze.graph import LayerGraph
from frostline.freeze.policy import Verdict, resolve


def make_plan(graph: LayerGraph, policy: FreezeConfig, *, backbone: str, image_size: int) -> Json:
    """Resolve `policy` against `graph`: a pure function of its arguments.

    Returns:
        {backbone, image_size, policy, totals, boundary, blocks, layers}; parameters count every weight of a layer,
        statistics included. `boundary` is null when nothing below any cut point is wholly frozen.

    Raises:
        PolicyError: the policy cannot be resolved.
    """
    verdicts = resolve(graph, policy)
    block_of = [""] * len(graph.layers)
    for block in graph.blocks():
        block_of[block.first : block.last + 1] = [block.name] * (block.last + 1 - block.first)
    layers = [
        {
            "name": layer.name,
            "block": block,
            "class": layer.kind,
            "parameters": layer.parameters,
            "frozen": verdict.frozen,
            "rule": verdict.rule,
        }
        for layer, block, verdict in zip(graph.layers, block_of, verdicts, strict=True)
    ]
    return {
        "backbone": backbone,
        "image_size": image_size,
        "policy": policy.section(),
        "totals": _totals(layers),
        "boundary": _boundary(graph, verdicts, block_of),
        "blocks": [_block(block.name, layers[block.first : block.last + 1]) for block in graph.blocks()],
        "layers": layers,
    }


def _totals(layers: list[dict[str, Any]]) -> Json:
    weighted = [layer for layer in layers if layer["parameters"]]
    frozen = [layer for layer in weighted if layer["frozen"]]
    total, held = (sum(layer["parameters"] for layer in some) for some in (weighted, frozen))
    return {
        "layers": len(layers),
        "weighted_layers": len(weighted),
        "parameters": total,
        "frozen_layers": len(frozen),
        "frozen_parameters": held,
        "trainable_parameters": total - held,
    }


def _block(name: str, layers: list[dict[str, Any]]) -> Json:
    totals = _totals(layers)
    return {"name": name, "last_layer": layers[-1]["name"], **totals}


def _boundary(graph: LayerGraph, verdicts: tuple[Verdict, ...], block_of: list[str]) -> Json | None:
    """The deepest cut point such that every layer with weights at or before it is frozen, and at least one is."""
    moving = next(
        (
            position
            for position, (layer, verdict) in enumerate(zip(graph.layers, verdicts, strict=True))
            if layer.parameters and not verdict.frozen
        ),
        len(graph.layers),
    )
    below = [cut for cut in graph.cut_points() if cut < moving]
    parameters = sum(layer.parameters for layer in graph.layers[: below[-1] + 1]) if below else 0
    if not parameters:
        return None
    deepest = below[-1]
    return {"layer": graph.layers[deepest].name, "block": block_of[deepest], "parameters_below": parameters}
