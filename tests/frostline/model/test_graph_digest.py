"""Digests of an exported graph: equal for equal exports, whatever was traced before, and different for any other."""

import shutil
import subprocess
import sys

import keras
import pytest
import tensorflow as tf

from frostline.errors import DataError
from frostline.model import backbones, export, graph_digest, head, operations
from frostline.model.config import HeadConfig

from tests.support import hostile

AGAIN = """
import sys, keras
from frostline.model import export
for units in range(5):  # other numbers for all that follows
    keras.layers.Dropout(0.1)(keras.layers.Dense(3)(keras.Input((units + 1,))))
export.save(keras.models.load_model(sys.argv[1]), ["a", "b"], 32, "SmallConvNet", sys.argv[2])
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An export, and the model that was exported."""
    keras.utils.set_random_seed(0)
    root = tmp_path_factory.mktemp("exported")
    image = keras.Input((32, 32, 3))
    swish = keras.layers.Conv2D(3, 3, activation="swish")(image)  # has a gradient of its own, and so captured tensors
    backbone = keras.Model(image, backbones.build("SmallConvNet", 30)(swish))
    model = head.attach(backbone, HeadConfig(hidden=(8,), dropout=0.1), 2)
    model.save(root / "model.keras")
    export.save(model, ["a", "b"], 32, "SmallConvNet", root / "serving")
    return root


@pytest.fixture
def serving(exported, tmp_path):
    return shutil.copytree(exported / "serving", tmp_path / "serving")


def digests(directory):
    return graph_digest.of(hostile.read(directory).meta_graphs[0])


def test_an_export_of_the_loaded_model_in_another_process_is_equal(exported, tmp_path):
    subprocess.run([sys.executable, "-c", AGAIN, exported / "model.keras", tmp_path / "again"], check=True, timeout=300)
    assert (tmp_path / "again" / hostile.FILE).read_bytes() != (exported / "serving" / hostile.FILE).read_bytes()
    assert digests(tmp_path / "again") == digests(exported / "serving")


def test_exports_of_one_model_are_the_same(tmp_path):
    model = head.attach(backbones.build("SmallConvNet", 32), HeadConfig(), 2)
    for name in ("one", "other"):
        export.save(model, ["a", "b"], 32, "SmallConvNet", tmp_path / name)
    assert (tmp_path / "one" / hostile.FILE).read_bytes() != (tmp_path / "other" / hostile.FILE).read_bytes()
    assert graph_digest.are_same(tmp_path / "one", tmp_path / "other")


def test_exports_with_another_weight_or_none_are_not_the_same(exported, serving, tmp_path):
    assert graph_digest.are_same(serving, exported / "serving")
    other = keras.models.load_model(exported / "model.keras")
    other.get_layer("head_logits").bias.assign_add([0.0, 1e-7])
    export.save(other, ["a", "b"], 32, "SmallConvNet", tmp_path / "other")
    assert not graph_digest.are_same(tmp_path / "other", exported / "serving")
    path = next(serving.glob("variables/*.data-*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert not graph_digest.are_same(serving, exported / "serving")
    path.unlink()
    assert not graph_digest.are_same(serving, exported / "serving")
    shutil.rmtree(serving / "variables")
    assert not graph_digest.are_same(serving, serving)


def test_exports_with_another_graph_or_a_forbidden_one_are_not_the_same(exported, serving):
    hostile.change(serving, replace_constant)
    assert not graph_digest.are_same(serving, exported / "serving")
    hostile.write(serving, hostile.read(exported / "serving"))
    assert graph_digest.are_same(serving, exported / "serving")
    hostile.change(serving, lambda meta: hostile.write_file(meta, serving / "written"))
    assert not graph_digest.are_same(serving, serving)


def replace_constant(meta):
    """1e-3, the epsilon of a BatchNormalization, becomes another number."""
    node = next(one for one in hostile.serve(meta).node_def if one.op == "Const" and "batchnorm/add" in one.name)
    node.attr["value"].tensor.float_val[:] = [0.5]


def swap_labels(meta):
    node = next(one for one in meta.graph_def.node if one.op == "Const" and one.attr["value"].tensor.string_val)
    node.attr["value"].tensor.string_val[:] = list(node.attr["value"].tensor.string_val)[::-1]


def insert_an_operation(meta):
    function = hostile.serve(meta)
    name = next(one.name for one in function.signature.output_arg if one.type == tf.float32.as_datatype_enum)
    function.node_def.add(name="evil", op="Neg", input=[function.ret[name]])
    function.ret[name] = "evil:y:0"


def skip_an_activation(meta):
    function = hostile.serve(meta)
    relu = next(node for node in function.node_def if node.op == "Relu")
    for node in function.node_def:
        node.input[:] = [relu.input[0] if name == f"{relu.name}:activations:0" else name for name in node.input]


def swap_two_variables(meta):
    """gamma and beta of one layer, which have one shape."""
    call = next(node for node in meta.graph_def.node if node.name == meta.saver_def.restore_op_name)
    inputs = list(call.input)
    first, second = (next(i for i, name in enumerate(inputs) if name.endswith(end)) for end in ("bn/gamma", "bn/beta"))
    inputs[first], inputs[second] = inputs[second], inputs[first]
    call.input[:] = inputs


def share_a_variable(meta):
    handles = {node.name: node for node in meta.graph_def.node if node.op == "VarHandleOp"}
    gamma = next(name for name in handles if name.endswith("block1_bn/gamma"))
    handles[gamma.replace("gamma", "beta")].attr["shared_name"].CopyFrom(handles[gamma].attr["shared_name"])


def bind_an_object_to_another_variable(meta):
    """What tf.saved_model.load calls; the session loader does not use it."""
    for function in meta.object_graph_def.concrete_functions.values():
        inputs = list(function.bound_inputs)
        function.bound_inputs[:] = [*inputs[1:], inputs[0]]


def drop_a_node_with_effects(meta):
    """The assertion that pictures can be read leads to no result."""
    function = hostile.serve(meta)
    function.control_ret.clear()


def other_function_in_a_branch(meta):
    node = next(node for node in hostile.serve(meta).node_def if node.op == "If")
    node.attr["then_branch"].func.name, node.attr["else_branch"].func.name = (
        node.attr["else_branch"].func.name,
        node.attr["then_branch"].func.name,
    )


def change_an_inner_function(meta):
    inner = next(
        one for one in meta.graph_def.library.function if any(node.op == "DecodeImage" for node in one.node_def)
    )
    next(node for node in inner.node_def if node.op == "DecodeImage").attr["expand_animations"].b ^= True


ATTACKS = {
    replace_constant: ["objects", "signature serving_default"],
    swap_labels: ["signature serving_default"],
    insert_an_operation: ["objects", "signature serving_default"],
    skip_an_activation: ["objects", "signature serving_default"],
    swap_two_variables: ["signature serving_default"],
    share_a_variable: ["restore", "signature serving_default"],
    bind_an_object_to_another_variable: ["objects"],
    drop_a_node_with_effects: ["objects", "signature serving_default"],
    other_function_in_a_branch: ["objects", "signature serving_default"],
    change_an_inner_function: ["objects", "signature serving_default"],
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_another_graph_of_allowed_operations_has_other_digests(serving, attack):
    before = digests(serving)
    hostile.change(serving, attack)
    after = digests(serving)
    operations.read(serving)
    assert sorted(name for name in before if after[name] != before[name]) == ATTACKS[attack]


def a_cycle(meta):
    meta.graph_def.node.add(name="one", op="Identity", input=["two"])
    meta.graph_def.node.add(name="two", op="Identity", input=["one"])
    meta.signature_def["serving_default"].outputs["probabilities"].name = "one:0"


def a_function_that_calls_itself(meta):
    function = hostile.serve(meta)
    function.node_def.add(name="evil", op="PartitionedCall").attr["f"].func.name = function.signature.name


def a_missing_input(meta):
    meta.graph_def.node.add(name="one", op="Identity", input=["nowhere"])
    meta.signature_def["serving_default"].outputs["probabilities"].name = "one:0"


def a_missing_function(meta):
    hostile.serve(meta).node_def.add(name="evil", op="PartitionedCall").attr["f"].func.name = "nowhere"


def a_chain_of_functions(meta):
    library = meta.graph_def.library.function
    for number in range(5000):
        function = library.add()
        function.signature.name = f"chain{number}"
        function.node_def.add(name="next", op="PartitionedCall").attr["f"].func.name = f"chain{number + 1}"
    hostile.serve(meta).node_def.add(name="evil", op="PartitionedCall").attr["f"].func.name = "chain0"


@pytest.mark.parametrize(
    "damage", [a_cycle, a_function_that_calls_itself, a_missing_input, a_missing_function, a_chain_of_functions]
)
def test_a_graph_that_no_loader_would_run_is_told_in_one_line(serving, damage):
    hostile.change(serving, damage)
    with pytest.raises(DataError, match=r"^its graph [^\n]+$"):
        digests(serving)


def test_a_graph_of_many_thousand_nodes_in_a_row_has_a_digest(serving):
    def add(meta):
        before = "saver_filename"
        for number in range(20_000):
            node = meta.graph_def.node.add(name=f"deep{number}", op="Identity", input=[before])
            before = node.name
        meta.signature_def["serving_default"].outputs["label"].name = f"{before}:0"

    hostile.change(serving, add)
    assert "signature serving_default" in digests(serving)
