"""The checks of a freeze certificate, one function each; a check that does not pass raises.

Nothing in a certificate is trusted: its statements are recomputed from its digests, and its digests from the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from frostline import digests
from frostline.documents.freeze import CERTIFICATE, FREEZE_PLAN, Certificate, Comparison, FreezePlan
from frostline.documents.kinds import Document
from frostline.documents.training import CERTIFIED_FILES, KERAS_FILE, MODEL, SERVING_DIRECTORY, ModelIdentity
from frostline.freeze.certificate import (
    certify,
    combined_digest,
    is_sealed,
    layer_of,
    replica_digests,
    tensor_digest,
    weight_names,
    weights_digest,
)
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import from_model
from frostline.freeze.phases import phases
from frostline.freeze.plan import POOL, make_plan
from frostline.model import architecture
from frostline.section import parse
from frostline.text import listed

if TYPE_CHECKING:
    import keras

T = TypeVar("T", bound=Mapping[str, Any])
SAVED_MODEL_FILE = "saved_model.pb"
_STATEMENTS = ("verified", "frozen_tensors", "trainable_tensors", "moved", "unmoved_trainable", "phases", "tensors")
_GRAPH_SUFFIXES = (".pb", ".pbtxt", ".cpb")  # of the files at the top of a SavedModel
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


class Failed(Exception):
    """A check did not pass. The message gives the reason in one line; `tensors` are those with wrong values."""

    def __init__(self, reason: str, tensors: Iterable[str] = ()) -> None:
        super().__init__(reason)
        self.tensors = tuple(tensors)


def read_certificate(directory: Path) -> Certificate:
    """Read the certificate; its seal must match, and no byte of the file may be changed."""
    certificate = _read(CERTIFICATE, directory)
    if not is_sealed(certificate):
        raise Failed("its seal does not match its content")
    return certificate


def read_plan(directory: Path, certificate: Certificate) -> FreezePlan:
    """Read the plan; it must be the one that was certified."""
    plan = _read(FREEZE_PLAN, directory)
    if digests.of_json(plan) != certificate["plan_digest"]:
        raise Failed(f"{FREEZE_PLAN.file} is not the plan that was certified")
    return plan


def _read(document: Document[T], directory: Path) -> T:
    """Read a document; its bytes must be those that are written for its content."""
    content = document.read(directory)
    if (directory / document.file).read_bytes() != document.encode(content):
        raise Failed(f"{document.file}: the file was changed after it was written")
    return content


def recompute(plan: FreezePlan, certificate: Certificate) -> Comparison:
    """Compare the certified digests of the tensors with the plan again; the tensors must be those of its layers."""
    schedule, tensors = phases(plan, 1, 1.0), certificate["tensors"]
    number = len(schedule) + 1
    if any(len(tensor["digests"]) != number for tensor in tensors.values()):
        raise Failed(f"not every tensor has {number} digests, as {len(schedule)} phase(s) need")
    if {layer_of(name) for name in tensors} != _weighted_layers(plan):
        raise Failed("the tensors are not those of the plan's layers")
    states = [{name: [tensor["digests"][state]] for name, tensor in tensors.items()} for state in range(number)]
    source = combined_digest(first_digests(certificate))
    return certify(plan, schedule, states, [()] * len(schedule), source_digest=source)


def frozen_at_the_end(plan: FreezePlan, tensors: Iterable[str]) -> set[str]:
    """Those of the tensors that are frozen in the last phase."""
    frozen = phases(plan, 1, 1.0)[-1].frozen
    return {name for name in tensors if layer_of(name) in frozen}


def first_digests(certificate: Certificate) -> dict[str, str]:
    """The certified digest of every backbone tensor before training."""
    return {name: tensor["digests"][0] for name, tensor in certificate["tensors"].items()}


def _last_digests(certificate: Certificate) -> dict[str, str]:
    """The certified digest of every backbone tensor after the last phase."""
    return {name: tensor["digests"][-1] for name, tensor in certificate["tensors"].items()}


def _weighted_layers(plan: FreezePlan) -> set[str]:
    return {layer["name"] for layer in plan["layers"] if layer["parameters"]}


def nothing_frozen_changed(recomputed: Comparison) -> None:
    """Every tensor has the same digest before and after each phase that it is frozen in."""
    if recomputed["moved"]:
        raise Failed(f"frozen tensors changed during training: {listed(recomputed['moved'])}")


def claims_hold(certificate: Certificate, recomputed: Comparison) -> None:
    """The statements of the certificate follow from its digests."""
    wrong = [
        name for name, statement in recomputed.items() if name in _STATEMENTS and certificate.get(name) != statement
    ]
    if wrong:
        raise Failed(f"its digests contradict its field(s) {listed(wrong)}")


def source_holds(certificate: Certificate, recomputed: Comparison) -> None:
    """The first digests are those of the weights that training should have started from."""
    if certificate.get("source_digest") != recomputed["source_digest"]:
        raise Failed("its first digests do not match its source_digest")


def files_hold(directory: Path, certificate: Certificate) -> Path:
    """Every certified file exists and is unchanged, and the SavedModel has no other; returns the directory.

    Files are found on disk, never by a path in the certificate.
    """
    certified = certificate["files"]
    found = {name: digests.of_file(path) for name, path in _files(directory) if path.is_file()}
    wrong = [f"{name} is missing" for name in certified if name not in found]
    wrong += [f"{name} differs" for name, digest in found.items() if certified.get(name, digest) != digest]
    wrong += [f"{name} was not certified" for name, _ in _files(directory) if name not in certified]
    if wrong:
        raise Failed(listed(wrong, separator="; "))
    return directory


def _files(directory: Path) -> Iterator[tuple[str, Path]]:
    """The files that a certificate covers, by their names in it, and any other file in the SavedModel."""
    for name in CERTIFIED_FILES:
        yield name, directory / name
    serving = serving_directory(directory)
    for path in sorted(serving.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        if path.parent != directory or path.suffix in _GRAPH_SUFFIXES:  # a version's own documents are at its top
            yield f"{SERVING_DIRECTORY}/{path.relative_to(serving).as_posix()}", path


def serving_directory(directory: Path) -> Path:
    """The SavedModel: `serving/` in a model's directory, the top of a version in a registry."""
    inside = directory / SERVING_DIRECTORY
    return directory if not inside.exists() and (directory / SAVED_MODEL_FILE).exists() else inside


def load_model(directory: Path) -> keras.Model:
    """Load model.keras in safe mode: no code in the file is executed."""
    import keras

    return keras.models.load_model(directory / KERAS_FILE, compile=False, safe_mode=True)


def graph_holds(certificate: Certificate, model: keras.Model) -> None:
    """The backbone in the model has the graph that the weights were resolved with, where the certificate says which."""
    architecture.require_backbone(model, certificate.get("graph_digest"), KERAS_FILE)


def policy_holds(plan: FreezePlan, model: keras.Model) -> None:
    """The plan follows from its policy and the backbone in the model."""
    import keras

    backbone = keras.Model(model.input, model.get_layer(POOL).input)
    config = parse(FreezeConfig, plan["policy"], field="policy")
    made = make_plan(from_model(backbone), config, backbone=plan["backbone"], image_size=plan["image_size"])
    wrong = [name for name, value in made.items() if digests.of_json(plan.get(name)) != digests.of_json(value)]
    if wrong:
        raise Failed(f"the plan does not follow from its policy and the model's layers, in {listed(wrong)}")


def keras_weights_hold(plan: FreezePlan, certificate: Certificate, model: keras.Model) -> None:
    """The tensors in model.keras are those after the last phase."""
    layers = _weighted_layers(plan)
    found = {name: digest for name, digest in _digests(model).items() if layer_of(name) in layers}
    _require_equal(found, _last_digests(certificate), KERAS_FILE)
    if weights_digest(model.layers) != certificate["weights_digest"]:
        raise Failed(f"{KERAS_FILE}: the digest of all weights, with the head's, is not the certified one")


def serving_weights_hold(directory: Path, certificate: Certificate, model: keras.Model) -> None:
    """The tensors in the SavedModel are those after the last phase, and the head's are those of model.keras."""
    import tensorflow as tf

    names = {
        id(weight): name
        for layer in model.layers
        for name, weight in zip(weight_names(layer), layer.weights, strict=True)
    }
    keys = {
        f"values/{index}/.ATTRIBUTES/VARIABLE_VALUE": names.get(id(variable))  # None: the state of a Dropout's seed
        for index, variable in enumerate(model.variables)
    }
    reader = tf.train.load_checkpoint(str(serving_directory(directory) / "variables" / "variables"))
    if set(reader.get_variable_to_shape_map()) != {*keys, _OBJECT_GRAPH}:
        raise Failed("the SavedModel must contain each of the model's variables once, and no others")
    found = {name: tensor_digest(reader.get_tensor(key)) for key, name in keys.items() if name}
    _require_equal(found, {**_digests(model), **_last_digests(certificate)}, "the SavedModel")


def _digests(model: keras.Model) -> dict[str, str]:
    return {name: copies[0] for name, copies in replica_digests(model.layers).items()}


def _require_equal(found: Mapping[str, str], certified: Mapping[str, str], where: str) -> None:
    wrong = [name for name in {**certified, **found} if found.get(name) != certified.get(name)]
    if wrong:
        raise Failed(f"{where}: values differ from the certified ones in {listed(wrong)}", wrong)


def description_holds(directory: Path, plan: FreezePlan, certificate: Certificate, model: keras.Model) -> None:
    """model.json describes this model; its digest is that of the weights, the labels, the image size and the head."""
    description = _read(MODEL, directory)
    identity: ModelIdentity = {
        "labels": description["labels"],
        "image_size": description["image_size"],
        "backbone": description["backbone"],
        "head": description["head"],
    }
    digest = digests.of_json({"weights": weights_digest(model.layers), **identity})
    expected = {
        "model_digest": digest,
        "policy": plan["policy"],
        "backbone": plan["backbone"],
        "parameters": model.count_params(),
        "frozen_parameters": plan["totals"]["frozen_parameters"],
    }
    wrong = [name for name, value in expected.items() if description.get(name) != value]
    if wrong:
        raise Failed(f"{MODEL.file}: {listed(wrong)} differ from the recomputed values")
    if certificate["model_digest"] != digest:
        raise Failed(f"{MODEL.file} describes another model than the certified one")


def source_weights_hold(certificate: Certificate, source: keras.Model) -> None:
    """The first digests in the certificate are those of these weights, and its graph is theirs."""
    graph = certificate.get("graph_digest")
    if graph is not None and graph != architecture.digest(source):
        raise Failed("the given weights belong to another graph than the certified one")
    _require_equal(first_digests(certificate), _digests(source), "the given weights")
