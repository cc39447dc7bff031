"""A freeze policy resolved against a layer graph: which layers are frozen, and by which rule.

A policy that should freeze something but freezes no weight is an error: its author expected something else.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from frostline.errors import PolicyError
from frostline.freeze.config import PolicyConfig
from frostline.freeze.graph import BATCH_NORM, Block, LayerGraph
from frostline.text import listed

_COARSE = 0.25  # of the parameters
_SHOWN = 12  # names listed in a message


@dataclass(frozen=True)
class Verdict:
    """Whether a layer is frozen, and the rule that decided it."""

    frozen: bool
    rule: str


def layer_verdicts(
    graph: LayerGraph, policy: PolicyConfig, batch_norm: Literal["freeze", "follow"], *, field: str = "freeze"
) -> tuple[Verdict, ...]:
    """One verdict per layer, in the graph's order. The head is not in the graph and is never frozen.

    The first rule that matches decides: the policy, then `batch_norm: freeze`; other layers are trainable.

    Args:
        graph: the backbone.
        policy: how the frozen layers are chosen.
        batch_norm: whether every BatchNorm is frozen even if the policy does not choose it.
        field: name of the section, for messages.

    Raises:
        PolicyError: the policy names a block or layer that does not exist, or chooses no layer with weights.
    """
    ((name, value),) = policy.policy().items()
    chosen = _chosen(graph, name, value, field)
    rule = name if value is True else f"{name}: {value}"
    if name == "fraction" and max(chosen) not in {block.last for block in graph.blocks}:
        rule += " by layers"  # the blocks are too coarse
    return tuple(
        Verdict(True, rule)
        if position in chosen
        else Verdict(True, "batch_norm: freeze")
        if layer.kind == BATCH_NORM and batch_norm == "freeze"
        else Verdict(False, rule if name == "none" else "trainable")
        for position, layer in enumerate(graph.layers)
    )


def _chosen(graph: LayerGraph, name: str, value: object, field: str) -> Collection[int]:
    """Positions of the layers that the policy chooses."""
    if name == "none":
        return ()
    rules = {
        "head_only": _head_only,
        "first_layers": _first_layers,
        "through": _through,
        "blocks": _blocks,
        "match": _match,
        "fraction": _fraction,
    }
    where = f"{field}.{name}"
    chosen = frozenset(rules[name](graph, value, where))  # type: ignore[operator]
    if not any(graph.layers[position].parameters for position in chosen):
        raise PolicyError(f"{where}: received {value!r}, which freezes nothing: {_why_nothing(graph, chosen)}")
    return chosen


def _head_only(graph: LayerGraph, _: bool, __: str) -> range:
    return range(len(graph.layers))


def _first_layers(graph: LayerGraph, count: int, where: str) -> range:
    layers = _layers(graph)
    if count > len(layers):
        raise PolicyError(f"{where}: received {count}; the backbone has {len(layers)} layers")
    return range(layers[count - 1] + 1)


def _layers(graph: LayerGraph) -> list[int]:
    """Positions of `model.layers`, without plain operations."""
    return [position for position, layer in enumerate(graph.layers) if layer.is_layer]


def _through(graph: LayerGraph, name: str, where: str) -> range:
    return range(_named(graph, name, where).last + 1)


def _blocks(graph: LayerGraph, patterns: Sequence[str], where: str) -> set[int]:
    chosen: set[int] = set()
    for pattern in patterns:
        matching = [block for block in graph.blocks if fnmatch.fnmatchcase(block.name, pattern)]
        for block in matching or [_named(graph, pattern, where)]:
            chosen.update(range(block.first, block.last + 1))
    return chosen


def _match(graph: LayerGraph, pattern: str, where: str) -> list[int]:
    expression = re.compile(pattern)
    chosen = [position for position, layer in enumerate(graph.layers) if expression.search(layer.name)]
    if not chosen:
        names = [layer.name for layer in graph.layers if layer.parameters]
        raise PolicyError(f"{where}: received {pattern!r}, which matches no layer's name{_hint(pattern, names)}")
    if not any(graph.layers[position].parameters for position in chosen):
        blocks = [block.name for block in graph.blocks if expression.search(block.name)]
        advice = f'; to freeze the blocks of that name, use blocks: ["{_glob(blocks)}"]' if blocks else ""
        raise PolicyError(
            f"{where}: received {pattern!r}, which freezes nothing: {_why_nothing(graph, chosen)}{advice}"
        )
    return chosen


def _fraction(graph: LayerGraph, fraction: float, _: str) -> range:
    """The fewest first blocks that contain at least this fraction of the backbone's parameters.

    If the last of them goes beyond it by more than _COARSE of the parameters, only its first layers are taken.
    """
    total = sum(layer.parameters for layer in graph.layers)
    contained = 0
    for block in graph.blocks:
        before = contained
        contained += sum(layer.parameters for layer in graph.layers[block.first : block.last + 1])
        if contained >= fraction * total:
            coarse = contained - fraction * total > _COARSE * total
            return range((_layer_at(graph, block.first, fraction * total - before) if coarse else block.last) + 1)
    return range(len(graph.layers))


def _layer_at(graph: LayerGraph, first: int, wanted: float) -> int:
    """The first layer, from a position on, up to which the layers contain as many parameters as wanted."""
    for position in range(first, len(graph.layers)):
        wanted -= graph.layers[position].parameters
        if wanted <= 0:
            return position
    return len(graph.layers) - 1


def _named(graph: LayerGraph, name: str, where: str) -> Block:
    blocks = {block.name: block for block in graph.blocks}
    if name not in blocks:
        hint = _hint(name, list(blocks))
        raise PolicyError(f"{where}: received {name!r}, which is not a block of this backbone{hint}")
    return blocks[name]


def _hint(received: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(received, names, n=3, cutoff=0.5)
    question = f" did you mean {', '.join(near)}?" if near else ""
    return f";{question} known names are {listed(names, _SHOWN)}"


def _why_nothing(graph: LayerGraph, chosen: Collection[int]) -> str:
    if not any(layer.parameters for layer in graph.layers):
        return "the backbone has no weights"
    kinds = Counter(graph.layers[position].kind for position in chosen)
    counted = ", ".join(kind if len(kinds) == 1 else f"{count} {kind}" for kind, count in kinds.most_common(3))
    have = "has no weights" if len(chosen) == 1 else "have no weights"
    number, position = next((n, p) for n, p in enumerate(_layers(graph), start=1) if graph.layers[p].parameters)
    block = next(block.name for block in graph.blocks if block.first <= position <= block.last)
    first = f"the first layer with weights is number {number}, {graph.layers[position].name}, in block {block}"
    return f"its {len(chosen)} layer{'s are' if len(chosen) > 1 else ' is'} {counted}, which {have}; {first}"


def _glob(names: Sequence[str]) -> str:
    """A glob that matches the names: their common prefix and a star."""
    begin = names[0]
    for name in names[1:]:
        while not name.startswith(begin):
            begin = begin[:-1]
    return names[0] if len(names) == 1 else f"{begin}*"
