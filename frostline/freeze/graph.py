"""The layers of a backbone as a directed acyclic graph: cut points and blocks.

A cut point is a layer that every path from the input to the output goes through. A block is what lies between two
consecutive merges that are cut points.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

_OWN_NAME = re.compile(r"mixed\d+")  # InceptionV3's merges; other merges have names that count up within a process
_GROUP = re.compile(r"(block\d+)_")


@dataclass(frozen=True)
class Layer:
    """One layer: its position in topological order is its index in `LayerGraph.layers`.

    Attributes:
        name: the layer's name.
        kind: its class name.
        parents: positions of the layers whose output it takes.
        parameters: number of scalars in all its weights, statistics included.
    """

    name: str
    kind: str
    parents: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Block:
    """The layers at positions `first`..`last`, both included; `last` is a cut point."""

    name: str
    first: int
    last: int


@dataclass(frozen=True)
class LayerGraph:
    """Layers in topological order: every parent comes before its children."""

    layers: tuple[Layer, ...]

    def cut_points(self) -> tuple[int, ...]:
        """Positions that no edge jumps over, found in one sweep: O(V + E)."""
        reach = [0] * len(self.layers)  # the farthest child of each layer
        for position, layer in enumerate(self.layers):
            for parent in layer.parents:
                reach[parent] = max(reach[parent], position)
        cuts, farthest = [], 0
        for position in range(len(self.layers)):
            if farthest <= position:
                cuts.append(position)
            farthest = max(farthest, reach[position])
        return tuple(cuts)

    def blocks(self) -> tuple[Block, ...]:
        """Blocks in order, covering every layer once; a chain without merges is cut by its `blockN_` names."""
        merges = [cut for cut in self.cut_points() if len(set(self.layers[cut].parents)) > 1]
        return self._between(merges) if merges else self._by_name()

    def _between(self, merges: Sequence[int]) -> tuple[Block, ...]:
        children: dict[int, int] = {}
        for layer in self.layers:
            for parent in set(layer.parents):
                children[parent] = children.get(parent, 0) + 1
        stem = next(cut for cut in self.cut_points() if children.get(cut, 0) > 1)
        blocks = [Block("stem", 0, stem)]
        for number, merge in enumerate(merges, start=1):
            name = self.layers[merge].name
            blocks.append(Block(name if _OWN_NAME.fullmatch(name) else f"block{number}", blocks[-1].last + 1, merge))
        if merges[-1] < len(self.layers) - 1:
            blocks.append(Block("top", merges[-1] + 1, len(self.layers) - 1))
        return tuple(blocks)

    def _by_name(self) -> tuple[Block, ...]:
        def group(position: int) -> str:
            found = _GROUP.match(self.layers[position].name)
            return found.group(1) if found else ""

        runs = [(name, list(members)) for name, members in groupby(range(len(self.layers)), key=group)]
        named = [(name, members[-1]) for name, members in runs if name]
        if not named:
            return (Block("block1", 0, len(self.layers) - 1),)
        named[-1] = (named[-1][0], len(self.layers) - 1)
        firsts = [0, *(last + 1 for _, last in named[:-1])]
        return tuple(Block(name, first, last) for first, (name, last) in zip(firsts, named, strict=True))


def from_model(model: keras.Model) -> LayerGraph:
    """Read the graph of a functional Keras model.

    Its operations are its layers and, where an architecture adds or scales tensors without a layer (ConvNeXt,
    MobileNetV3), plain Keras operations; `model.operations` has both in topological order.
    """
    operations = model.operations
    position = {id(operation): index for index, operation in enumerate(operations)}
    parents: list[set[int]] = [set() for _ in operations]
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            for tensor in node.input_tensors:
                parents[position[id(node.operation)]].add(position[id(tensor._keras_history.operation)])
    return LayerGraph(
        tuple(
            Layer(
                operation.name,
                type(operation).__name__,
                tuple(sorted(parents[index])),
                sum(math.prod(weight.shape) for weight in getattr(operation, "weights", ())),
            )
            for index, operation in enumerate(operations)
        )
    )
