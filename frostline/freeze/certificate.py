"""The freeze certificate: digests of every backbone weight before training and after each phase, on every replica.

A tensor that is frozen in a phase must be bit-identical before and after it. The certificate also holds the digests of
the plan, of the weights that training started from and of the exported files, and is sealed by a digest of itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from frostline import digests
from frostline.documents.freeze import Certificate, Comparison, FreezePlan, PhaseProof
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
    """Stable names of a layer's weights: `layer/index:variable`, without the counter that Keras appends."""
    return [f"{layer.name}/{index}:{_COUNTER.sub('', weight.name)}" for index, weight in enumerate(layer.weights)]


def layer_of(tensor: str) -> str:
    """The name of the layer that owns a tensor."""
    return tensor.rsplit("/", 1)[0]


def combined_digest(tensors: Mapping[str, str]) -> str:
    """One digest of the digests of many tensors by name."""
    return digests.of_json(dict(tensors))


def weights_digest(layers: Iterable[keras.layers.Layer]) -> str:
    """One digest of all weights of the layers, on the first replica."""
    return combined_digest({name: copies[0] for name, copies in replica_digests(layers).items()})


def replica_digests(layers: Iterable[keras.layers.Layer]) -> Digests:
    """Digests of every weight of the layers, one per replica; one where there is no distribution strategy."""
    return {
        name: [tensor_digest(copy.numpy()) for copy in copies(weight.value)]
        for layer in layers
        for name, weight in zip(weight_names(layer), layer.weights, strict=True)
    }


def names_of(variables: Iterable[Any], layers: Iterable[keras.layers.Layer]) -> list[str]:
    """Names of those variables that are weights of the layers; other variables are left out."""
    wanted = {id(variable) for variable in variables}
    return [
        name
        for layer in layers
        for name, weight in zip(weight_names(layer), layer.weights, strict=True)
        if id(weight) in wanted
    ]


def copies(variable: Any) -> tuple[Any, ...]:
    """The variable on each replica; the variable itself where there is no distribution strategy."""
    return tuple(getattr(variable, "values", (variable,)))  # a MirroredVariable holds one variable per replica


def certify(
    plan: FreezePlan,
    schedule: Sequence[Phase],
    states: Sequence[Digests],
    slots: Sequence[Sequence[str]],
    *,
    source_digest: str,
) -> Comparison:
    """Check the backbone before and after every phase against the plan.

    Args:
        plan: the freeze plan.
        schedule: its phases.
        states: digests of all backbone weights, before the first phase and after each: one more than phases.
        slots: for each phase, names of the backbone's tensors that the optimizer had slots for.
        source_digest: digest of the weights that training should have started from.
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


def _phase(phase: Phase, before: Digests, after: Digests, optimized: Sequence[str], weighted: set[str]) -> PhaseProof:
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


def seal(certificate: Certificate) -> Certificate:
    """The certificate with a digest of its own content, so that a change of any field is found."""
    sealed = certificate.copy()
    sealed.pop("schema", None)
    sealed.pop(SEAL, None)  # so that the seal is the last field
    sealed[SEAL] = _digest_to_seal(sealed)
    return sealed


def is_sealed(certificate: Mapping[str, object]) -> bool:
    """Whether the seal is the digest of everything else in the certificate."""
    return certificate.get(SEAL) == _digest_to_seal(certificate)


def _digest_to_seal(certificate: Mapping[str, object]) -> str:
    return digests.of_json({key: value for key, value in certificate.items() if key not in (SEAL, "schema")})


def require_still(comparison: Comparison) -> None:
    """Require that no frozen weight changed or could have changed.

    Raises:
        FreezeViolation: one did; the message names its layer.
    """
    if comparison["verified"]:
        return
    moved = sorted({layer_of(name) for name in comparison["moved"]})
    stray = sorted({layer_of(name) for phase in comparison["phases"] for name in phase["frozen_with_optimizer_slots"]})
    if moved:
        reason = f"frozen weights changed during training, in {', '.join(moved)}"
    elif stray:
        reason = f"the optimizer has slots for frozen weights, in {', '.join(stray)}"
    else:
        reason = "the weights are not those that the plan was made for"
    raise FreezeViolation(f"{reason}; no model is emitted")


def file_digests(directory: Path) -> dict[str, str]:
    """SHA-256 of the certified files that exist, by path relative to the directory."""
    files = [*(directory / name for name in CERTIFIED_FILES), *sorted((directory / SERVING_DIRECTORY).rglob("*"))]
    return {path.relative_to(directory).as_posix(): digests.of_file(path) for path in files if path.is_file()}
