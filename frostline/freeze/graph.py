"""The layers of a backbone as a directed acyclic graph: cut points and blocks.

A cut point is a layer on every path from the input to the output. A block is a run of consecutive layers that ends at
a cut point. Blocks have the architecture's own names if the names of its layers contain them; otherwise a block ends at
each merge, and blocks are numbered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

STEM, TOP = "stem", "top"
BATCH_NORM = "BatchNormalization"
_GATES = ("Multiply",)  # merges of squeeze-and-excitation, in the middle of a block
# A merge whose name is that of the block that it ends.
_ENDS_BLOCK = re.compile(r"mixed_?\d+[a-z]?")
# Layer names that begin with the name of their block, one pattern per naming scheme.
_BEGINS_WITH_BLOCK = re.compile(
    r"(?P<residual>conv\d+_block\d+)_"  # ResNet, DenseNet
    r"|(?P<inception>block\d+_\d+)_"  # InceptionResNetV2
    r"|(?P<inverted>block_\d+)_"  # MobileNetV2
    r"|(?P<plain>block\d+[a-z]?)_"  # VGG, Xception, EfficientNet
    r"|(?P<expanded>expanded_conv(?:_\d+)?)_"  # MobileNetV3
    r"|(?:convnext_[a-z]+_)(?P<stage>stage_\d+_block_\d+)_"
    r"|conv_(?:dw|pw|pad)_(?P<separable>\d+)"  # MobileNet
)


@dataclass(frozen=True)
class Layer:
    """A layer or a plain operation; its index in `LayerGraph.layers` is its position in topological order.

    Attributes:
        name: the layer's name.
        kind: its class name.
        parents: positions of the layers that its inputs come from.
        parameters: number of scalars in all its weights, including BatchNorm statistics.
        flops: floating-point operations of a forward pass over one image; see `frostline.freeze.flops`.
        is_layer: whether it is one of `model.layers`; plain operations are not.
        shape: of its output for one image; 0 for a dimension that the image size does not determine.
        outputs: number of its outputs; with several it is no cut point, since a boundary is one tensor.
    """

    name: str
    kind: str
    parents: tuple[int, ...]
    parameters: int
    flops: int = 0
    is_layer: bool = True
    shape: tuple[int, ...] = ()
    outputs: int = 1


@dataclass(frozen=True)
class Block:
    """The layers from position `first` to `last`, both included; `last` is a cut point."""

    name: str
    first: int
    last: int


@dataclass(frozen=True)
class LayerGraph:
    """Layers in topological order: every parent comes before its children."""

    layers: tuple[Layer, ...]

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """For each layer, positions of the layers that use its output."""
        found: list[list[int]] = [[] for _ in self.layers]
        for position, layer in enumerate(self.layers):
            for parent in set(layer.parents):
                found[parent].append(position)
        return tuple(map(tuple, found))

    @cached_property
    def cut_points(self) -> tuple[int, ...]:
        """Positions with one output that no edge skips, found in one pass: O(V + E)."""
        cuts, farthest = [], 0
        for position, children in enumerate(self.children):
            if farthest <= position and self.layers[position].outputs == 1:
                cuts.append(position)
            farthest = max([farthest, *children])
        return tuple(cuts)

    def ancestors(self, position: int) -> frozenset[int]:
        """Positions with a path to the layer at `position`, which is included: O(V + E)."""
        found, waiting = {position}, [position]
        while waiting:
            new = set(self.layers[waiting.pop()].parents) - found
            found |= new
            waiting.extend(new)
        return frozenset(found)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Blocks in order; each layer is in exactly one."""
        return self._blocks_until(list(self._named_ends()) or list(self._merge_ends()))

    def _named_ends(self) -> Iterator[tuple[str, int]]:
        """(name, end) of each block that layers are named after."""
        labelled: dict[str, list[int]] = {}
        for position, layer in enumerate(self.layers):
            name = _block_name(layer.name)
            if name:
                labelled.setdefault(name, []).append(position)
        names = sorted(labelled, key=lambda name: labelled[name][0])
        for name, following in zip(names, [*names[1:], ""], strict=False):
            last = max(labelled[name])
            if not following:
                yield name, next(cut for cut in self.cut_points if cut >= last)
                return
            upto = labelled[following][0]
            between = [cut for cut in self.cut_points if last <= cut < upto]
            if between:  # otherwise its layers are interleaved with the next block's and belong to that
                yield name, between[0] if _ENDS_BLOCK.fullmatch(following) else between[-1]

    def _merge_ends(self) -> Iterator[tuple[str, int]]:
        """(name, end) of each block that ends at a merge; the names are numbered."""
        merges = [
            cut
            for cut in self.cut_points
            if len(set(self.layers[cut].parents)) > 1 and self.layers[cut].kind not in _GATES
        ]
        for number, merge in enumerate(merges or [len(self.layers) - 1], start=1):
            yield f"block{number}", merge

    def _blocks_until(self, ends: list[tuple[str, int]]) -> tuple[Block, ...]:
        """Blocks from their ends; layers before and after them are the stem and the top if any of them has weights."""
        first = self._stem_end(ends[0])
        blocks = [Block(STEM, 0, first)] if self._has_weights(0, first) else []
        for name, last in ends:
            blocks.append(Block(name, blocks[-1].last + 1 if blocks else 0, last))
        last = len(self.layers) - 1
        if self._has_weights(blocks[-1].last + 1, last):
            return (*blocks, Block(TOP, blocks[-1].last + 1, last))
        return (*blocks[:-1], Block(blocks[-1].name, blocks[-1].first, last))

    def _stem_end(self, block: tuple[str, int]) -> int:
        """Where the stem ends: before the first layer named after a block, otherwise before the first branch."""
        name, end = block
        own = [p for p in range(end + 1) if _block_name(self.layers[p].name) == name]
        if own and not _ENDS_BLOCK.fullmatch(name):
            return max((cut for cut in self.cut_points if cut < own[0]), default=-1)
        return next((cut for cut in self.cut_points if cut < end and len(self.children[cut]) > 1), -1)

    def _has_weights(self, first: int, last: int) -> bool:
        return any(layer.parameters for layer in self.layers[first : last + 1])


def _block_name(layer: str) -> str:
    """The block that a layer is named after, or an empty string."""
    if _ENDS_BLOCK.fullmatch(layer):
        return layer
    found = _BEGINS_WITH_BLOCK.match(layer)
    if not found or found.lastgroup is None:
        return ""
    return f"conv_{found['separable']}" if found["separable"] else found[found.lastgroup]


def _kind(operation: Any) -> str:
    """The class's name; subclasses of BatchNormalization count as BatchNormalization."""
    import keras

    normalises = isinstance(operation, keras.layers.BatchNormalization)
    return BATCH_NORM if normalises else type(operation).__name__


def from_model(model: keras.Model) -> LayerGraph:
    """Read the graph of a functional Keras model.

    Its operations are its layers and plain Keras operations, with which some architectures (ConvNeXt, MobileNetV3) add
    or scale tensors; `model.operations` has both in topological order.
    """
    from frostline.freeze.flops import of_operation

    operations = model.operations
    layers = {id(layer) for layer in model.layers}
    position = {id(operation): index for index, operation in enumerate(operations)}
    parents: list[set[int]] = [set() for _ in operations]
    shapes: dict[int, tuple[int, ...]] = {}
    outputs: dict[int, int] = {}
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            shapes[position[id(node.operation)]] = tuple(size or 0 for size in node.output_tensors[0].shape[1:])
            outputs[position[id(node.operation)]] = len(node.output_tensors)
            for tensor in node.input_tensors:
                parents[position[id(node.operation)]].add(position[id(tensor._keras_history.operation)])
    return LayerGraph(
        tuple(
            Layer(
                operation.name,
                _kind(operation),
                tuple(sorted(parents[index])),
                sum(math.prod(weight.shape) for weight in getattr(operation, "weights", ())),
                of_operation(operation),
                id(operation) in layers,
                shapes[index],
                outputs[index],
            )
            for index, operation in enumerate(operations)
        )
    )
