"""The freeze certificate: digests of every backbone weight before training and after each phase, on every replica.

A tensor that is frozen in a phase must be bit-identical before and after it. The certificate is bound by digest to
the plan, to the weights that training started from, to the exported files, and to itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frostline import digests
from frostline.artifacts import Json
from frostline.errors import FreezeViolation
from frostline.freeze.phases import Phase

if TYPE_CHECKING:
    import keras

SEAL = "certificate_digest"
FILE = "freeze_certificate.json"
DOCUMENTS = (
    "model.keras",
    "freeze_plan.json",
    "training.jsonl",
    "training.json",
    "model.json",
    "images.parquet",
)  # what it vouches for, beside serving/
_COUNTER = re.compile(r"_\d+$")
Digests = dict[str, list[str]]  # tensor name -> its digest on each replica


def tensor_digest(value: Any) -> str:
    """SHA-256 over dtype, shape and bytes of an array."""
    array = np.ascontiguousarray(value)
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def weight_names(layer: keras.layers.Layer) -> list[str]:
    """Stable names of a layer's weights: `layer/index:variable`, without the number that Keras counts up."""
    return [f"{layer.name}/{index}:{_COUNTER.sub('', weight.name)}" for index, weight in enumerate(layer.weights)]


def layer_of(tensor: str) -> str:
    """The layer that a tensor's name begins with."""
    return tensor.rsplit("/", 1)[0]


def combined_digest(tensors: Mapping[str, str]) -> str:
    """One digest of many tensors' digests by name."""
    return digests.of_json(dict(tensors))


def weights_digest(layers: Iterable[keras.layers.Layer]) -> str:
    """One digest of all weights of some layers, on the first replica."""
    return combined_digest({name: copies[0] for name, copies in replica_digests(layers).items()})


def replica_digests(layers: Iterable[keras.layers.Layer]) -> Digests:
    """Digest of every weight of some layers on every replica; one entry a tensor where there is no strategy."""
    return {
        name: [tensor_digest(copy.numpy()) for copy in copies(weight.value)]
        for layer in layers
        for name, weight in zip(weight_names(layer), layer.weights, strict=True)
    }


def names_of(variables: Iterable[Any], layers: Iterable[keras.layers.Layer]) -> list[str]:
    """Names of those variables that are weights of some layers; others are left out."""
    wanted = {id(variable) for variable in variables}
    return [
        name
        for layer in layers
        for name, weight in zip(weight_names(layer), layer.weights, strict=True)
        if id(weight) in wanted
    ]


def copies(variable: Any) -> tuple[Any, ...]:
    """The variable of each replica; one where there is no strategy."""
    return tuple(getattr(variable, "values", (variable,)))  # a MirroredVariable holds one variable a replica


def certify(
    plan: Json,
    schedule: Sequence[Phase],
    states: Sequence[Digests],
    slots: Sequence[Sequence[str]],
    *,
    source_digest: str,
) -> Json:
    """Compare the backbone before and after every phase with the plan.

    Args:
        plan: the freeze plan.
        schedule: its phases.
        states: digests of all backbone weights, before the first phase and after each: one more than phases.
        slots: for each phase, names of the backbone's tensors that the optimizer had slots for.
        source_digest: digest of the weights that training should have started from.

    Returns:
        The certificate, without the digests of the exported files and without its seal.
    """
    weighted = {layer["name"] for layer in plan["layers"] if layer["parameters"]}
    reports = [
        _phase(phase, before, after, optimized, weighted)
        for phase, before, after, optimized in zip(schedule, states[:-1], states[1:], slots, strict=True)
    ]
    tensors = list(states[0])
    always = {name for name in tensors if all(layer_of(name) in phase.frozen for phase in schedule)}
    first = {name: copies[0] for name, copies in states[0].items()}
    return {
        "verified": all(report["verified"] for report in reports) and combined_digest(first) == source_digest,
        "frozen_tensors": len(always),
        "trainable_tensors": len(tensors) - len(always),
        "replicas": max(len(copies) for state in states for copies in state.values()),
        "moved": sorted({name for report in reports for name in report["moved"]}),
        "unmoved_trainable": [name for name in tensors if name not in always and _unmoved(name, states)],
        "plan_digest": digests.of_json(plan),
        "source_digest": source_digest,
        "phases": reports,
        "tensors": {
            name: {"frozen": name in always, "digests": [state.get(name, [""])[0] for state in states]}
            for name in tensors
        },
    }


def _phase(phase: Phase, before: Digests, after: Digests, optimized: Sequence[str], weighted: set[str]) -> Json:
    frozen = {name for name in before if layer_of(name) in phase.frozen}
    moved = [name for name in before if name in frozen and len({*before[name], *after.get(name, ("",))}) > 1]
    stray = [name for name in optimized if name in frozen]
    covered = {layer_of(name) for name in frozen}
    return {
        "phase": phase.number,
        "policy": phase.policy,
        "verified": not moved and not stray and before.keys() == after.keys() and covered == phase.frozen & weighted,
        "frozen_tensors": len(frozen),
        "moved": moved,
        "unmoved_trainable": [name for name in before if name not in frozen and before[name] == after.get(name)],
        "frozen_with_optimizer_slots": stray,
    }


def _unmoved(name: str, states: Sequence[Digests]) -> bool:
    return len({tuple(state.get(name, ())) for state in states}) == 1


def seal(certificate: Json) -> Json:
    """The certificate with a digest of its own content, so that a change to any field shows."""
    document = {key: value for key, value in certificate.items() if key not in (SEAL, "schema")}
    return {**document, SEAL: digests.of_json(document)}


def require_still(certificate: Json) -> None:
    """Raise FreezeViolation, naming the layers, if a frozen weight moved, or could have."""
    if certificate["verified"]:
        return
    layers = sorted({layer_of(name) for name in certificate["moved"]})
    stray = sorted({layer_of(name) for phase in certificate["phases"] for name in phase["frozen_with_optimizer_slots"]})
    if layers:
        reason = f"frozen weights moved during training, in {', '.join(layers)}"
    elif stray:
        reason = f"the optimizer has slots for frozen weights, in {', '.join(stray)}"
    else:
        reason = "the weights are not those that the plan was made for"
    raise FreezeViolation(f"{reason}; no model is emitted")


def file_digests(directory: Path) -> dict[str, str]:
    """SHA-256 of the files there are of those that a certificate vouches for, by path relative to the directory."""
    files = [*(directory / name for name in DOCUMENTS), *sorted((directory / "serving").rglob("*"))]
    return {path.relative_to(directory).as_posix(): digests.of_file(path) for path in files if path.is_file()}
