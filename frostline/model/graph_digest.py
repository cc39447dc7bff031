"""Digests of an exported graph that do not depend on what its nodes and functions are called.

Two exports of one model differ in the names of functions and arguments, which contain numbers of the process that
traced them. So a node counts as what it computes: its operation, its attributes, and the same of its inputs, as in a
Merkle tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import config_pb2

from frostline import digests
from frostline.errors import DataError
from frostline.model import operations

# Attributes that say nothing about what is computed, and differ between processes.
_LEFT_OUT = ("_class", "_gradient_op_type")
_CONFIG = "config_proto"
_WEIGHTS = "variables/variables"  # prefix of their files in a SavedModel
_NAMES_OF_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"  # an entry among the weights that differs between processes
_PLACEHOLDER, _VARIABLE = "Placeholder", "VarHandleOp"


def of(meta: Any) -> dict[str, str]:
    """Digests of all that loaders use of an export.

    Args:
        meta: a MetaGraphDef.

    Returns:
        `signature NAME` for each signature, `restore` for what reads the weights, and `objects` for what
        `tf.saved_model.load` returns.

    Raises:
        DataError: the graph has a cycle, a part that is not there, or calls that are nested too deeply.
    """
    functions = _Functions(meta.graph_def.library.function)
    try:
        nodes = _Nodes(meta.graph_def.node, _variables(meta), functions)
        found = {f"signature {name}": _signature(one, nodes) for name, one in meta.signature_def.items()}
        found["restore"] = nodes.of(meta.saver_def.restore_op_name)
        found["objects"] = _objects(meta.object_graph_def, functions)
    except KeyError as error:
        raise DataError(f"its graph refers to {error}, which is not there") from error
    except RecursionError:
        raise DataError("its graph has functions that call each other hundreds of times") from None
    return found


def are_same(one: Path, other: Path) -> bool:
    """Whether two SavedModels compute the same: their weights are equal bit by bit, and their graphs by digest.

    False, too, where one of them may not be loaded or cannot be read: loading it says why.
    """
    try:
        graphs = [of(operations.read(directory)) for directory in (one, other)]
        return graphs[0] == graphs[1] and _have_same_weights(one, other)
    except (DataError, tf.errors.OpError, ValueError):
        return False


def _have_same_weights(one: Path, other: Path) -> bool:
    first, second = (tf.train.load_checkpoint(str(directory / _WEIGHTS)) for directory in (one, other))
    names = sorted(first.get_variable_to_shape_map())
    return names == sorted(second.get_variable_to_shape_map()) and all(
        name == _NAMES_OF_OBJECTS or _bits(first.get_tensor(name)) == _bits(second.get_tensor(name)) for name in names
    )


def _bits(array: NDArray[Any]) -> tuple[Any, ...]:
    return array.dtype, array.shape, array.tobytes()


def _variables(meta: Any) -> dict[str, str]:
    """The variables of the graph: what tells one from another is its place among those that `restore` fills.

    Their names do not: Keras counts the unnamed ones. Two nodes with one `shared_name` are the same variable.
    """
    nodes = {node.name: node for node in meta.graph_def.node}
    places: dict[bytes, int] = {}
    found = {}
    for place, name in enumerate(nodes[meta.saver_def.restore_op_name].input):
        node = nodes[name]
        if node.op == _VARIABLE:
            first = places.setdefault(node.attr["shared_name"].s, place)
            found[name] = f"variable {first} {node.attr['dtype'].type} {_bytes(node.attr['shape'].shape)}"
    return found


class _Functions:
    """The digests of functions by name."""

    def __init__(self, functions: Iterable[Any]) -> None:
        self._functions = {function.signature.name: function for function in functions}
        self._digests: dict[str, str] = {}
        self._open: set[str] = set()

    def of(self, name: str) -> str:
        if name not in self._digests:
            if name in self._open:
                raise DataError("its graph has a function that calls itself")
            self._open.add(name)
            self._digests[name] = self._digest(self._functions[name])
        return self._digests[name]

    def _digest(self, function: Any) -> str:
        """Of its arguments, its results and all its nodes: those with effects need not lead to a result."""
        arguments = [argument.name for argument in function.signature.input_arg]
        known = {name: f"argument {number}" for number, name in enumerate(arguments)}
        nodes = _Nodes(function.node_def, known, self)
        return digests.of_json(
            [
                [argument.type for argument in function.signature.input_arg],
                [nodes.tensor(function.ret[result.name]) for result in function.signature.output_arg],
                sorted(nodes.of(name) for name in function.control_ret.values()),
                sorted(nodes.of(node.name) for node in function.node_def),
                self.attributes(function.attr),
            ]
        )

    def attributes(self, attributes: Mapping[str, Any]) -> list[list[str]]:
        """Names and values, with the digests of functions in place of their names."""
        return sorted([key, self._value(key, value)] for key, value in attributes.items() if key not in _LEFT_OUT)

    def _value(self, key: str, value: Any) -> str:
        called = [value.func] if value.HasField("func") else value.list.func
        if called:
            return digests.of_json([[self.of(one.name), self.attributes(one.attr)] for one in called if one.name])
        if key == _CONFIG:  # it counts the devices of the machine that made the export
            config = config_pb2.ConfigProto.FromString(value.s)
            config.ClearField("device_count")
            return _bytes(config)
        return _bytes(value)


class _Nodes:
    """The digests of the nodes of a graph or a function; `known` has those of its arguments."""

    def __init__(self, nodes: Iterable[Any], known: Mapping[str, str], functions: _Functions) -> None:
        self._nodes, self._known, self._functions = {node.name: node for node in nodes}, dict(known), functions

    def of(self, name: str) -> str:
        """Of a node, from those of its inputs; without recursion, as a graph can be thousands of nodes deep."""
        waiting, begun = [name], set[str]()
        while waiting:
            one = waiting[-1]
            missing = [before for before in self._inputs(one) if before not in self._known]
            if missing and one in begun:
                raise DataError("its graph has a cycle")
            begun.add(one)
            waiting += missing
            if not missing:
                waiting.pop()
                if one not in self._known:
                    self._known[one] = self._digest(self._nodes[one])
        return self._known[name]

    def tensor(self, name: str) -> str:
        """Of an output of a node, as inputs, results and signatures name it."""
        node, _, output = name.partition(":")
        return f"{self.of(node)}:{output or 0}"

    def _inputs(self, name: str) -> list[str]:
        """The names of the nodes that a node waits for."""
        if name in self._known:
            return []
        return [it.removeprefix("^").partition(":")[0] for it in self._nodes[name].input]

    def _digest(self, node: Any) -> str:
        data = [self.tensor(name) for name in node.input if not name.startswith("^")]
        control = sorted(self.of(name[1:]) for name in node.input if name.startswith("^"))
        name = node.name if node.op == _PLACEHOLDER else ""  # nothing else tells two of them apart
        return digests.of_json([node.op, name, data, control, self._functions.attributes(node.attr)])


def _signature(signature: Any, nodes: _Nodes) -> str:
    ends = [
        sorted([key, one.dtype, _bytes(one.tensor_shape), nodes.tensor(one.name)] for key, one in side.items())
        for side in (signature.inputs, signature.outputs)
    ]
    return digests.of_json([signature.method_name, *ends])


def _objects(graph: Any, functions: _Functions) -> str:
    """The objects, with the digests of functions in place of their names, and variables without names and devices."""
    copy = type(graph)()
    copy.CopyFrom(graph)
    for node in copy.nodes:
        kind = node.WhichOneof("kind")
        if kind == "variable":
            node.variable.ClearField("device")
            node.variable.ClearField("name")
        elif kind == "function":
            names = [functions.of(name) for name in node.function.concrete_functions]
            node.function.concrete_functions[:] = names
        elif kind == "bare_concrete_function":
            bare = node.bare_concrete_function
            bare.concrete_function_name = functions.of(bare.concrete_function_name)
        elif kind == "captured_tensor":  # of a function with a gradient of its own, such as swish
            captured = node.captured_tensor
            captured.concrete_function = functions.of(captured.concrete_function)
    concrete = sorted([functions.of(name), _bytes(one)] for name, one in copy.concrete_functions.items())
    copy.ClearField("concrete_functions")
    return digests.of_json([concrete, _bytes(copy)])


def _bytes(message: Any) -> str:
    return digests.of_bytes(message.SerializeToString(deterministic=True))
