"""What a freeze certificate is checked against: one function a question. Each raises where the answer is no.

Nothing that a certificate says is believed: it is recomputed from digests, digests from files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from frostline import artifacts, digests
from frostline.artifacts import Json
from frostline.freeze import certificate
from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import from_model
from frostline.freeze.phases import phases
from frostline.freeze.plan import POOL, make_plan
from frostline.section import parse
from frostline.text import listed

if TYPE_CHECKING:
    import keras

_CLAIMS = ("verified", "frozen_tensors", "trainable_tensors", "moved", "unmoved_trainable", "phases", "tensors")
_GRAPH_SUFFIXES = (".pb", ".pbtxt", ".cpb")  # of the files that a SavedModel has at its top
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_DESCRIBED = ("labels", "image_size", "backbone", "head")  # what a model's digest covers besides its weights


class Failed(Exception):
    """The answer is no. The message says why in one line; `tensors` are those that are not what they should be."""

    def __init__(self, reason: str, tensors: Iterable[str] = ()) -> None:
        super().__init__(reason)
        self.tensors = tuple(tensors)


def read_certificate(directory: Path) -> Json:
    """The certificate; its seal must hold and every byte of its file be as it was written."""
    document = _read(directory / certificate.FILE, "freeze_certificate")
    if document.get(certificate.SEAL) != certificate.seal(document)[certificate.SEAL]:
        raise Failed("its seal does not fit its content")
    return document


def read_plan(directory: Path, proof: Json) -> Json:
    """The plan; it must be the one that was certified."""
    plan = _read(directory / "freeze_plan.json", "freeze_plan")
    if digests.of_json(plan) != proof["plan_digest"]:
        raise Failed("freeze_plan.json is not the plan that was certified")
    return plan


def _read(path: Path, kind: str) -> Json:
    """A JSON file whose bytes must be those that `artifacts.write_json` writes for its content."""
    document = artifacts.read_json(path, kind)
    if path.read_bytes() != artifacts.encode(kind, document):
        raise Failed(f"{path.name}: its bytes are not as they were written")
    return document


def recompute(plan: Json, proof: Json) -> Json:
    """The certificate that the plan and the digests of the tensors give, which must be those of the plan's layers."""
    schedule, tensors = phases(plan, 1, 1.0), proof["tensors"]
    if any(len(entry["digests"]) != len(schedule) + 1 for entry in tensors.values()):
        raise Failed(f"not every tensor has the {len(schedule) + 1} digests that {len(schedule)} phase(s) give")
    if {certificate.layer_of(name) for name in tensors} != _weighted(plan):
        raise Failed("the tensors are not those of the plan's layers")
    states = [
        {name: [entry["digests"][state]] for name, entry in tensors.items()} for state in range(len(schedule) + 1)
    ]
    source = certificate.combined_digest(first_digests(proof))
    return certificate.certify(plan, schedule, states, [()] * len(schedule), source_digest=source)


def still_at_the_end(plan: Json, tensors: Iterable[str]) -> set[str]:
    """Those of some tensors that are frozen in the last phase."""
    frozen = phases(plan, 1, 1.0)[-1].frozen
    return {name for name in tensors if certificate.layer_of(name) in frozen}


def first_digests(proof: Json) -> dict[str, str]:
    """Digest of every backbone tensor before training, as certified."""
    return {name: entry["digests"][0] for name, entry in proof["tensors"].items()}


def _weighted(plan: Json) -> set[str]:
    return {layer["name"] for layer in plan["layers"] if layer["parameters"]}


def nothing_frozen_changed(recomputed: Json) -> None:
    """No tensor differs before and after a phase that it is frozen in."""
    if recomputed["moved"]:
        raise Failed(f"frozen tensors changed in training: {listed(recomputed['moved'])}")


def claims_hold(proof: Json, recomputed: Json) -> None:
    """The certificate says of itself what its digests give."""
    wrong = [name for name in _CLAIMS if proof.get(name) != recomputed[name]]
    if wrong:
        raise Failed(f"its digests do not give what it says under {listed(wrong)}")


def source_holds(proof: Json, recomputed: Json) -> None:
    """The first digests are those of the weights that training says it started from."""
    if proof.get("source_digest") != recomputed["source_digest"]:
        raise Failed("its first digests are not those of its source")


def files_hold(directory: Path, proof: Json) -> bool:
    """Every certified file is there and unchanged, and the SavedModel has no other. Paths come from the disk alone."""
    certified = proof["files"]
    found = {name: digests.of_file(path) for name, path in _files(directory) if path.is_file()}
    wrong = [f"{name} is missing" for name in certified if name not in found]
    wrong += [f"{name} differs" for name, digest in found.items() if certified.get(name, digest) != digest]
    wrong += [f"{name} was not certified" for name, _ in _files(directory) if name not in certified]
    if wrong:
        raise Failed(listed(wrong, separator="; "))
    return True


def _files(directory: Path) -> Iterator[tuple[str, Path]]:
    """The files that a certificate vouches for, by the name that it gives them, and others inside the SavedModel."""
    for name in certificate.DOCUMENTS:
        yield name, directory / name
    serving = _serving(directory)
    for path in sorted(serving.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        if path.parent != directory or path.suffix in _GRAPH_SUFFIXES:  # a version's own documents are at its top
            yield f"serving/{path.relative_to(serving).as_posix()}", path


def _serving(directory: Path) -> Path:
    """The SavedModel: `serving/` of what train emitted, the top of a version in a registry."""
    inside = directory / "serving"
    return directory if not inside.exists() and (directory / "saved_model.pb").exists() else inside


def load_model(directory: Path) -> keras.Model:
    """The model in model.keras, in safe mode: nothing in the file is executed."""
    import keras

    return keras.models.load_model(directory / "model.keras", compile=False, safe_mode=True)


def policy_holds(plan: Json, model: keras.Model) -> None:
    """The plan is what its policy gives for the backbone inside the model."""
    import keras

    backbone = keras.Model(model.input, model.get_layer(POOL).input)
    policy = parse(FreezeConfig, plan["policy"], field="policy")
    made = make_plan(from_model(backbone), policy, backbone=plan["backbone"], image_size=plan["image_size"])
    wrong = [name for name, value in made.items() if digests.of_json(plan[name]) != digests.of_json(value)]
    if wrong:
        raise Failed(f"the plan does not follow from its policy and the model's graph, in {listed(wrong)}")


def keras_weights_hold(plan: Json, proof: Json, model: keras.Model) -> None:
    """The tensors in model.keras are those after the last phase."""
    layers = _weighted(plan)
    found = {name: digest for name, digest in _digests(model).items() if certificate.layer_of(name) in layers}
    _require_equal(found, {name: entry["digests"][-1] for name, entry in proof["tensors"].items()}, "model.keras")
    if certificate.weights_digest(model.layers) != proof["weights_digest"]:
        raise Failed("model.keras: the weights, head included, have not the certified digest")


def serving_weights_hold(directory: Path, proof: Json, model: keras.Model) -> None:
    """The tensors inside the SavedModel are those after the last phase, and the head's those of model.keras."""
    import tensorflow as tf

    names = {
        id(weight): name
        for layer in model.layers
        for name, weight in zip(certificate.weight_names(layer), layer.weights, strict=True)
    }
    keys = {
        f"values/{index}/.ATTRIBUTES/VARIABLE_VALUE": names.get(id(variable))  # None: the state of a Dropout's seed
        for index, variable in enumerate(model.variables)
    }
    reader = tf.train.load_checkpoint(str(_serving(directory) / "variables" / "variables"))
    if set(reader.get_variable_to_shape_map()) != {*keys, _OBJECT_GRAPH}:
        raise Failed("the SavedModel does not hold each of the model's variables once and nothing else")
    found = {name: certificate.tensor_digest(reader.get_tensor(key)) for key, name in keys.items() if name}
    last = {name: entry["digests"][-1] for name, entry in proof["tensors"].items()}
    _require_equal(found, {**_digests(model), **last}, "the SavedModel")


def _digests(model: keras.Model) -> dict[str, str]:
    return {name: copies[0] for name, copies in certificate.replica_digests(model.layers).items()}


def _require_equal(found: Mapping[str, str], certified: Mapping[str, str], where: str) -> None:
    wrong = [name for name in {**certified, **found} if found.get(name) != certified.get(name)]
    if wrong:
        raise Failed(f"{where}: other values than certified in {listed(wrong)}", wrong)


def description_holds(directory: Path, plan: Json, proof: Json, model: keras.Model) -> None:
    """model.json describes this model; its digest is that of the weights, the labels, the image size and the head."""
    document = _read(directory / "model.json", "model")
    described = {name: document[name] for name in _DESCRIBED}
    digest = digests.of_json({"weights": certificate.weights_digest(model.layers), **described})
    expected = {
        "model_digest": digest,
        "policy": plan["policy"],
        "backbone": plan["backbone"],
        "parameters": model.count_params(),
        "frozen_parameters": plan["totals"]["frozen_parameters"],
    }
    wrong = [name for name, value in expected.items() if document.get(name) != value]
    if wrong:
        raise Failed(f"model.json: {listed(wrong)} not as recomputed")
    if proof["model_digest"] != digest:
        raise Failed("model.json is not about the model that was certified")


def source_weights_hold(proof: Json, source: keras.Model) -> None:
    """The certificate's first digests are those of these weights."""
    _require_equal(first_digests(proof), _digests(source), "the weights given")
