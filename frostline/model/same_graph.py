"""Whether a loaded model begins with the graph of a backbone: its weights alone would also fit other graphs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from frostline.model import architecture, own_model

if TYPE_CHECKING:
    import keras

_NOT_COMPUTED_WITH = ("name", "trainable", "dtype", "momentum", "seed", "synchronized")  # keys of configurations
_SUFFIXES = ("_initializer", "_regularizer", "_constraint")
_OF_THE_IMAGE_SIZE = ("ZeroPadding2D", "Cropping2D", "Reshape", "Resizing")  # layers whose configuration follows it
_WITHOUT_EFFECT = ("InputLayer", "Identity", "ActivityRegularization", *architecture.PREPROCESSING)


class _Row(NamedTuple):
    """A layer or operation: the rows that its inputs come from (-1: the image), and what it computes with."""

    name: str
    kind: str
    parents: tuple[int, ...]
    config: Mapping[str, Any]


def difference(backbone: keras.Model, loaded: keras.Model) -> str:
    """Where the first layers of a loaded model differ from a backbone, in words; empty if they do not.

    The kind, the inputs and the configuration of each layer are compared. Left out are names, precision, what matters
    to training only, layers without effect in inference, what follows from the image size, and the preprocessing,
    which `architecture.preprocessing` compares.

    Args:
        backbone: a functional model.
        loaded: any functional or sequential model; further layers, such as a head, may follow.
    """
    found = _rows(loaded)
    for number, expected in enumerate(_rows(backbone)):
        if number == len(found):
            return f"it ends before the layer {expected.name!r}"
        problem = _difference(found[number], expected)
        if problem:
            return f"its layer {found[number].name!r} {problem}"
    return ""


def _difference(found: _Row, expected: _Row) -> str:
    place = f"where the layer {expected.name!r}"
    if found.kind != expected.kind:
        return f"is a {found.kind}, {place} is a {expected.kind}"
    for key in found.config.keys() & expected.config.keys():
        if found.config[key] != expected.config[key]:
            return f"has the {key} {found.config[key]!r}, {place} has {expected.config[key]!r}"
    return "" if found.parents == expected.parents else f"has its input from other layers, {place} stands"


def _rows(model: keras.Model) -> list[_Row]:
    rows: list[_Row] = []
    _append(model, -1, rows)
    return rows


def _append(model: keras.Model, image: int, rows: list[_Row]) -> int:
    """Append the rows of a model, with those of the models in it, in topological order; return that of its output."""
    import keras

    functional = getattr(model, "_functional", None) or model  # of a sequential model
    configs = {entry["name"]: entry["config"] for entry in json.loads(functional.to_json())["config"]["layers"]}
    nodes: dict[int, list[Any]] = {}
    for node in itertools.chain(*functional._nodes_by_depth.values()):
        nodes.setdefault(id(node.operation), []).append(node)
    places: dict[int, int] = {}  # of every operation: its row, or that of its input if it has no effect
    for operation in functional.operations:
        calls = nodes[id(operation)]
        inputs = {id(tensor._keras_history.operation) for node in calls for tensor in node.input_tensors}
        parents = tuple(sorted({places[one] for one in inputs})) or (image,)
        if isinstance(operation, keras.Model):
            places[id(operation)] = _append(operation, parents[0], rows)
        elif _has_no_effect(operation):
            places[id(operation)] = parents[0]
        else:
            places[id(operation)] = len(rows)
            config = _computed_with(operation, configs.get(operation.name, {}), len(calls[0].output_tensors[0].shape))
            rows.append(_Row(operation.name, type(operation).__name__, parents, config))
    return places[id(functional.outputs[0]._keras_history.operation)]


def _has_no_effect(operation: Any) -> bool:
    kind = type(operation).__name__
    linear = kind == "Activation" and operation.get_config().get("activation") == "linear"
    return kind in _WITHOUT_EFFECT or linear or own_model.is_random(operation)


def _computed_with(operation: Any, config: Mapping[str, Any], rank: int) -> dict[str, Any]:
    if type(operation).__name__ in _OF_THE_IMAGE_SIZE:
        return {}
    kept = {
        key: value
        for key, value in config.items()
        if key not in _NOT_COMPUTED_WITH and not key.endswith(_SUFFIXES) and not key.startswith("batch_")
    }
    if "axis" in kept:  # -1 and 3, alone or in a list, are the same axis of [batch, height, width, channels]
        axes = kept["axis"] if isinstance(kept["axis"], list) else [kept["axis"]]
        kept["axis"] = [axis % rank for axis in axes if isinstance(axis, int)]
    return kept
