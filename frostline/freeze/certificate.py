"""The freeze certificate: digests of every backbone weight before training and after each phase, on every replica.

A tensor that is frozen in a phase must be bit-identical before and after it. The certificate contains the digests of
the plan, of the weights that training started from, of the exported files, and of itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from frostline import digests
from frostline.documents.freeze import Certificate, Comparison, FreezePlan, PhaseComparison
from frostline.documents.training import CERTIFIED_FILES, SERVING_DIRECTORY
from frostline.errors import FreezeViolation
from frostline.freeze.phases import Phase

if TYPE_CHECKING:
    import keras

SEAL: Final = "certificate_digest"
_COUNTER = re.compile(r"_\d+$")
Digests = dict[str, list[str]]  # tensor name -> its digest on each replica


def tensor_digest(value: Any) -> str:
    """SHA-256 over dtype, shape and bytes of an array."""
    array = np.ascontiguousarray(value)
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def weight_names(layer: keras.layers.Layer) -> list[str]:
    """Stable names of a layer's weights: `layer/index:variable`, without the number that Keras appends."""
    return [f"{layer.name}/{index}:{_COUNTER.sub('', weight.name)}" for index, weight in enumerate(layer.weights)]


def layer_of(tensor: str) -> str:
    """The layer in a tensor's name."""
    return tensor.rsplit("/", 1)[0]


def combined_digest(tensors: Mapping[str, str]) -> str:
    """A single digest of the digests of many tensors, given by name."""
    return digests.of_json(dict(tensors))


def weights_digest(layers: Iterable[keras.layers.Layer]) -> str:
    """A single digest of all weights of the layers, on the first replica."""
    return combined_digest({name: copies[0] for name, copies in replica_digests(layers).items()})


def replica_digests(layers: Iterable[keras.layers.Layer]) -> Digests:
    """Digest of every weight of the layers on every replica; one entry per tensor if there is no strategy."""
    return {
        name: [tensor_digest(copy.numpy()) for copy in copies(weight.value)]
        for layer in layers
        for name, weight in zip(weight_names(layer), layer.weights, strict=True)
    }


def names_of(variables: Iterable[Any], layers: Iterable[keras.layers.Layer]) -> list[str]:
    """Names of the variables that are weights of the layers; other variables are left out."""
    wanted = {id(variable) for variable in variables}
    return [
        name
        for layer in layers
        for name, weight in zip(weight_names(layer), layer.weights, strict=True)
        if id(weight) in wanted
    ]


def copies(variable: Any) -> tuple[Any, ...]:
    """The variable on each replica; a single one if there is no strategy."""
    return tuple(getattr(variable, "values", (variable,)))  # a MirroredVariable holds one variable per replica


def certify(
    plan: FreezePlan,
    schedule: Sequence[Phase],
    states: Sequence[Digests],
    slots: Sequence[Sequence[str]],
    *,
    source_digest: str,
) -> Comparison:
    """Compare the backbone before and after every phase with the plan.

    Args:
        plan: the freeze plan.
        schedule: its phases.
        states: digests of all backbone weights before the first phase and after each phase: one more than phases.
        slots: for each phase, names of the backbone's tensors that the optimizer had slots for.
        source_digest: digest of the weights that training should have started from.

    Returns:
        The certificate without the digests of the exported model and files, and without the seal.
    """
    weighted = {layer["name"] for layer in plan["layers"] if layer["parameters"]}
    compared = [
        _compare_phase(phase, before, after, optimized, weighted)
        for phase, before, after, optimized in zip(schedule, states[:-1], states[1:], slots, strict=True)
    ]
    tensors = list(states[0])
    always = {name for name in tensors if all(layer_of(name) in phase.frozen for phase in schedule)}
    first = {name: copies[0] for name, copies in states[0].items()}
    return {
        "verified": all(phase["verified"] for phase in compared) and combined_digest(first) == source_digest,
        "frozen_tensors": len(always),
        "trainable_tensors": len(tensors) - len(always),
        "replicas": max(len(copies) for state in states for copies in state.values()),
        "moved": sorted({name for phase in compared for name in phase["moved"]}),
        "unmoved_trainable": [name for name in tensors if name not in always and _never_changed(name, states)],
        "plan_digest": digests.of_json(plan),
        "source_digest": source_digest,
        "phases": compared,
        "tensors": {
            name: {"frozen": name in always, "digests": [state.get(name, [""])[0] for state in states]}
            for name in tensors
        },
    }


def _compare_phase(
    phase: Phase, before: Digests, after: Digests, optimized: Sequence[str], weighted: set[str]
) -> PhaseComparison:
    frozen = {name for name in before if layer_of(name) in phase.frozen}
    changed = [name for name in before if name in frozen and len({*before[name], *after.get(name, ("",))}) > 1]
    with_slots = [name for name in optimized if name in frozen]
    covered = {layer_of(name) for name in frozen} == phase.frozen & weighted
    return {
        "phase": phase.number,
        "policy": phase.policy,
        "verified": not changed and not with_slots and before.keys() == after.keys() and covered,
        "frozen_tensors": len(frozen),
        "moved": changed,
        "unmoved_trainable": [name for name in before if name not in frozen and before[name] == after.get(name)],
        "frozen_with_optimizer_slots": with_slots,
    }


def _never_changed(name: str, states: Sequence[Digests]) -> bool:
    return len({tuple(state.get(name, ())) for state in states}) == 1


def seal(certificate: Certificate) -> Certificate:
    """The certificate with a digest of its own content, so that a change to any field is noticed."""
    sealed = certificate.copy()
    sealed.pop("schema", None)
    sealed.pop(SEAL, None)
    sealed[SEAL] = digests.of_json(sealed)
    return sealed


def is_sealed(document: Mapping[str, object]) -> bool:
    """Whether the seal of a certificate matches its content."""
    content = {key: value for key, value in document.items() if key not in (SEAL, "schema")}
    return document.get(SEAL) == digests.of_json(content)


def require_still(comparison: Comparison) -> None:
    """Raise FreezeViolation, which names the layers, if a frozen weight changed or could have changed."""
    if comparison["verified"]:
        return
    layers = sorted({layer_of(name) for name in comparison["moved"]})
    with_slots = {layer_of(name) for phase in comparison["phases"] for name in phase["frozen_with_optimizer_slots"]}
    if layers:
        reason = f"frozen weights changed during training, in {', '.join(layers)}"
    elif with_slots:
        reason = f"the optimizer has slots for frozen weights, in {', '.join(sorted(with_slots))}"
    else:
        reason = "the weights are not the ones that the plan was made for"
    raise FreezeViolation(f"{reason}; no model is emitted")


def file_digests(directory: Path) -> dict[str, str]:
    """SHA-256 of those files in a model's directory that a certificate covers, by relative path."""
    files = [*(directory / name for name in CERTIFIED_FILES), *sorted((directory / SERVING_DIRECTORY).rglob("*"))]
    return {path.relative_to(directory).as_posix(): digests.of_file(path) for path in files if path.is_file()}
