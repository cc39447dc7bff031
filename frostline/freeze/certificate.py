"""The freeze certificate: digests of every backbone weight before and after training, on every replica.

A frozen tensor must be bit-identical. The certificate is bound by digest to the plan, the weights that training
started from, and the files that were exported.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frostline import digests
from frostline.artifacts import Json
from frostline.errors import FreezeViolation

if TYPE_CHECKING:
    import keras

_COUNTER = re.compile(r"_\d+$")
Digests = dict[str, list[str]]  # tensor name -> its digest on each replica


def tensor_digest(value: Any) -> str:
    """SHA-256 over dtype, shape and bytes of an array."""
    array = np.ascontiguousarray(value)
    header = f"{array.dtype.str}{array.shape}".encode()
    return digests.of_bytes(header + array.tobytes())


def weight_names(layer: keras.layers.Layer) -> list[str]:
    """Stable names of a layer's weights: `layer/index:variable`, without the number that Keras counts up."""
    return [f"{layer.name}/{index}:{_COUNTER.sub('', weight.name)}" for index, weight in enumerate(layer.weights)]


def weights_digest(layers: list[keras.layers.Layer]) -> str:
    """One digest of all weights of some layers, on the first replica."""
    return digests.of_json({name: values[0] for name, values in replica_digests(layers).items()})


def replica_digests(layers: list[keras.layers.Layer]) -> Digests:
    """Digest of every weight of some layers on every replica; one entry a tensor where there is no strategy."""
    return {
        name: [tensor_digest(copy.numpy()) for copy in _copies(weight.value)]
        for layer in layers
        for name, weight in zip(weight_names(layer), layer.weights, strict=True)
    }


def _copies(variable: Any) -> tuple[Any, ...]:
    return tuple(getattr(variable, "values", (variable,)))  # a MirroredVariable holds one variable a replica


def certify(plan: Json, before: Digests, after: Digests, *, source_digest: str) -> Json:
    """Compare digests before and after training against the plan.

    Args:
        plan: the freeze plan.
        before: digests of all backbone weights before the first step.
        after: the same after the last one.
        source_digest: digest of the weights that training started from.

    Returns:
        The certificate, without the digests of the exported files.
    """
    frozen_layers = {layer["name"] for layer in plan["layers"] if layer["frozen"] and layer["parameters"]}
    frozen = {name for name in before if name.rsplit("/", 1)[0] in frozen_layers}
    trainable = [name for name in before if name not in frozen]
    moved = [name for name in before if name in frozen and set(before[name]) != set(after.get(name, ()))]
    covered = {name.rsplit("/", 1)[0] for name in frozen}
    return {
        "verified": not moved and before.keys() == after.keys() and covered == frozen_layers,
        "frozen_tensors": len(frozen),
        "trainable_tensors": len(trainable),
        "replicas": max((len(copies) for copies in after.values()), default=1),
        "moved": moved,
        "unmoved_trainable": [name for name in trainable if before[name] == after.get(name)],
        "plan_digest": digests.of_json(plan),
        "source_digest": source_digest,
        "tensors": {
            name: {"frozen": name in frozen, "before": copies[0], "after": after.get(name, [None])[0]}
            for name, copies in before.items()
        },
    }


def require_still(certificate: Json) -> None:
    """Raise FreezeViolation, naming the layers, if a frozen weight moved."""
    if not certificate["verified"]:
        layers = sorted({name.rsplit("/", 1)[0] for name in certificate["moved"]})
        moved = f"frozen weights moved during training, in {', '.join(layers)}"
        reason = moved if layers else "the plan names weights that are not there"
        raise FreezeViolation(f"{reason}; no model is emitted")


def file_digests(directory: Path) -> dict[str, str]:
    """SHA-256 of every file below a directory, by relative path."""
    return {
        path.relative_to(directory).as_posix(): digests.of_file(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
