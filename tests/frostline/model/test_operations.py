"""What the graph of an export may contain; anything else is not loaded."""

import shutil

import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from frostline.errors import DataError
from frostline.model import backbones, export, head, operations
from frostline.model.config import HeadConfig
from frostline.model.serving import Served

from tests.support import hostile


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = head.attach(backbones.build("SmallConvNet", 32), HeadConfig(dropout=0.1), 2)
    directory = tmp_path_factory.mktemp("exported") / "serving"
    export.save(model, ["a", "b"], 32, "SmallConvNet", directory)
    return directory


@pytest.fixture
def serving(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "serving")


def refusal(directory):
    """What read says; Served says the same, without loading anything."""
    with pytest.raises(DataError) as caught:
        operations.read(directory)
    with pytest.raises(DataError, match="cannot be served"):
        Served(directory)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{directory}: cannot be served: ")


def test_an_export_of_ours_is_read(exported):
    assert set(operations.read(exported).signature_def) == {"serving_default", "__saved_model_init_op"}


def test_a_file_that_a_prediction_would_write_is_never_written(serving, tmp_path):
    """Proof that the graph is a real attack: without the check, TensorFlow runs it."""
    target = tmp_path / "written"
    hostile.change(serving, lambda meta: hostile.write_file(meta, target))
    assert "has the operation WriteFile, which exports have no need of" in refusal(serving)
    assert not target.exists()
    picture = tf.io.encode_png(tf.zeros((4, 4, 3), tf.uint8)).numpy()
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(serving)).signature_def["serving_default"]
        session.run(loaded.outputs["probabilities"].name, {loaded.inputs["image_bytes"].name: [picture]})
    assert target.read_bytes() == b"was here"


def test_a_file_that_loading_would_write_is_never_written(serving, tmp_path):
    target = tmp_path / "written"
    hostile.change(serving, lambda meta: hostile.write_file_when_loaded(meta, target))
    assert refusal(serving).startswith("the graph in saved_model.pb has the operation WriteFile")
    assert not target.exists()
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        tf.compat.v1.saved_model.load(session, ["serve"], str(serving))
    assert target.exists()


@pytest.mark.parametrize(
    "operation",
    [
        *("ReadFile", "PrintV2", "PyFunc", "EagerPyFunc", "ImmutableConst", "RestoreV2", "SaveV2", "AssignVariableOp"),
        *("MergeV2Checkpoints", "HashTableV2", "InitializeTableFromTextFileV2", "TFRecordDataset", "RemoteCall"),
        "NoSuch",
    ],
)
@pytest.mark.parametrize("place", ["graph", "serve", "save", "restore", "unused"])
def test_an_operation_in_a_place_that_does_not_need_it(serving, operation, place):
    def add(meta):
        unused = meta.graph_def.library.function.add()
        unused.signature.name = "unused"
        targets = {
            "graph": meta.graph_def.node,
            "serve": hostile.serve(meta).node_def,
            "save": hostile.saver(meta, "save").node_def,
            "restore": hostile.saver(meta, "restore").node_def,
            "unused": unused.node_def,
        }
        targets[place].add(name="evil", op=operation)

    needed = {"save": ("SaveV2", "MergeV2Checkpoints"), "restore": ("AssignVariableOp",)}
    hostile.change(serving, add)
    if operation in needed.get(place, ()):
        operations.read(serving)
    elif (place, operation) == ("restore", "RestoreV2"):
        assert "restores weights from a file of its own choice" in refusal(serving)
    else:
        assert f"has the operation {operation}" in refusal(serving)


def call(meta, function, name="evil"):
    node = meta.graph_def.node.add(name=name, op="StatefulPartitionedCall")
    node.attr["f"].func.name = function
    return node


def save_when_loaded(meta):
    """Restoring waits for the saver's own caller, which writes files."""
    restore = next(node for node in meta.graph_def.node if node.name == meta.saver_def.restore_op_name)
    restore.input.append(f"^{meta.saver_def.save_tensor_name.partition(':')[0]}")


def save_as_restore(meta):
    meta.saver_def.restore_op_name = meta.saver_def.save_tensor_name.partition(":")[0]


def save_as_main_operation(meta):
    meta.collection_def["saved_model_main_op"].node_list.value[:] = [meta.saver_def.save_tensor_name]


def save_as_a_signature(meta):
    meta.signature_def["serving_default"].outputs["probabilities"].name = meta.saver_def.save_tensor_name


def save_in_a_prediction(meta):
    node = hostile.serve(meta).node_def.add(name="evil", op="PartitionedCall")
    node.attr["f"].func.name = hostile.saver(meta, "save").signature.name


def save_called_by_the_name_of_its_function(meta):
    hostile.serve(meta).node_def.add(name="evil", op=hostile.saver(meta, "save").signature.name)


def save_in_a_branch(meta):
    node = hostile.serve(meta).node_def.add(name="evil", op="Case")
    node.attr["branches"].list.func.add(name=hostile.saver(meta, "save").signature.name)


def save_behind_the_name_of_a_harmless_operation(meta):
    saver = hostile.saver(meta, "save")
    meta.graph_def.library.function.add().CopyFrom(saver)
    meta.graph_def.library.function[-1].signature.name = "Relu6"


def save_as_an_object(meta):
    """tf.saved_model.load offers it, under the name of a prediction."""
    name = hostile.saver(meta, "save").signature.name
    meta.object_graph_def.concrete_functions[name].canonicalized_input_signature.SetInParent()


def save_in_a_function_of_an_object(meta):
    function = meta.graph_def.library.function.add()
    function.signature.name = "offered"
    node = function.node_def.add(name="evil", op="PartitionedCall")
    node.attr["f"].func.name = hostile.saver(meta, "save").signature.name
    meta.object_graph_def.concrete_functions["offered"].canonicalized_input_signature.SetInParent()


def restore_another_file(meta):
    restore = hostile.saver(meta, "restore")
    hostile.constant(restore.node_def, "evil", b"/etc/other")
    reader = next(node for node in restore.node_def if node.op == "RestoreV2")
    reader.input[0] = "evil:output:0"


def restore_another_argument(meta):
    hostile.constant(meta.graph_def.node, "evil", b"/etc/other")
    next(node for node in meta.graph_def.node if node.name == meta.saver_def.restore_op_name).input[0] = "evil"


def two_functions_of_one_name(meta):
    meta.graph_def.library.function.add().CopyFrom(hostile.serve(meta))


def another_signature(meta):
    meta.signature_def["other"].CopyFrom(meta.signature_def["serving_default"])


def an_asset(meta):
    meta.asset_file_def.add(filename="../../etc/passwd").tensor_info.name = "saver_filename:0"


def a_collection(meta):
    meta.collection_def["saved_model_assets"].node_list.value.append("NoOp")


def a_gradient(meta):
    meta.graph_def.library.gradient.add(function_name="f", gradient_func="g")


def another_tag(meta):
    meta.meta_info_def.tags.append("train")


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (save_when_loaded, "in the course of something else"),
        (save_as_restore, "AssignVariableOp, RestoreV2"),
        (save_as_main_operation, "in the course of something else"),
        (save_as_a_signature, "in the course of something else"),
        (save_in_a_prediction, "MergeV2Checkpoints"),
        (save_called_by_the_name_of_its_function, "MergeV2Checkpoints"),
        (save_in_a_branch, "MergeV2Checkpoints"),
        (save_behind_the_name_of_a_harmless_operation, "'Relu6'"),
        (save_as_an_object, "MergeV2Checkpoints"),
        (save_in_a_function_of_an_object, "MergeV2Checkpoints"),
        (restore_another_file, "from a file of its own choice"),
        (restore_another_argument, "from a file of its own choice"),
        (two_functions_of_one_name, "two functions of one name"),
        (another_signature, "the signature 'other'"),
        (an_asset, "the asset '../../etc/passwd'"),
        (a_collection, "the collection 'saved_model_assets'"),
        (a_gradient, "the gradient 'f'"),
        (another_tag, "the tag 'train'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_allowed_in_its_place_is_refused_in_another(serving, attack, words):
    hostile.change(serving, attack)
    assert words in refusal(serving)


def test_another_form_of_the_file_and_another_graph_in_it(serving):
    for name in ("saved_model.pbtxt", "saved_model.cpb"):
        (serving / name).write_text("")
        assert name in refusal(serving)
        (serving / name).unlink()
    saved = hostile.read(serving)
    saved.meta_graphs.add().CopyFrom(saved.meta_graphs[0])
    hostile.write(serving, saved)
    assert "has 2 graphs" in refusal(serving)
    (serving / hostile.FILE).write_bytes(b"")
    assert "has 0 graphs" in refusal(serving)
    (serving / hostile.FILE).write_bytes(b"\xff" * 100)
    assert "is damaged" in refusal(serving)
    (serving / hostile.FILE).unlink()
    assert "there is no saved_model.pb" in refusal(serving)


def test_the_allowed_operations_exist_and_have_no_effect_outside():
    """Of those that TensorFlow calls stateful, none touches files, the network or code."""
    known = {name: op_def_registry.get(name) for name in operations.ALLOWED}
    assert [name for name, definition in known.items() if definition is None and not hasattr(tf.raw_ops, name)] == []
    stateful = {name for name, definition in known.items() if definition is not None and definition.is_stateful}
    assert stateful == {
        *("Assert", "CheckNumerics", "Empty"),  # fail; fail; memory that is not filled
        *("Case", "If", "StatefulPartitionedCall", "While"),  # as stateful as what they call, which is checked
        *("CudnnRNN", "CudnnRNNV2", "CudnnRNNV3"),  # the state of a random number generator
        *("ReadVariableOp", "StatelessRandomGetAlg", "VarHandleOp"),
    }


@pytest.mark.parametrize(
    "name", ["ConvNeXtTiny", "EfficientNetV2B0", "InceptionV3", "MobileNetV3Small", "NASNetMobile"]
)
def test_families_of_backbones_have_nothing_else(name):
    model = backbones.build(name, 96)
    traced = tf.function(model).get_concrete_function(tf.TensorSpec(model.inputs[0].shape), training=False)
    assert operations.refused(traced.graph.as_graph_def()) == []
