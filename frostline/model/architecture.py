"""The graph of a model as data: its digest, and which preprocessing layers it or a weights file has.

A file of weights fits several graphs, because layers without weights leave no trace in the values. Keras builds
EfficientNetB0 to B7 with a second Rescaling for its ImageNet weights and without it for all others, and other
architectures with or without their preprocessing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frostline import digests
from frostline.errors import WeightsError
from frostline.freeze.plan import POOL

if TYPE_CHECKING:
    import keras

Preprocessing = Mapping[str, Any]  # the class of a layer and, where it is known, what the layer does
PREPROCESSING = ("Rescaling", "Normalization")
_KIND = "class"
_SCALES = ("scale", "offset", "mean", "variance", "axis", "invert")  # what such a layer does, in its configuration


def digest(model: keras.Model) -> str:
    """SHA-256 of a functional model's layers, their configuration and connections; which ones train does not matter.

    It is the same after the model was saved and loaded, and with a head attached if the head is cut off again.
    """
    return digests.of_json(_without_trainable(json.loads(model.to_json())["config"]["layers"]))


def require_backbone(model: keras.Model, expected: str | None, where: str) -> None:
    """Raise WeightsError unless the backbone of a model with a head has the graph of a digest; None: not known."""
    import keras

    if expected is None:
        return
    found = digest(keras.Model(model.input, model.get_layer(POOL).input))
    if found != expected:
        raise WeightsError(
            f"{where}: its backbone's graph has digest {found}; the weights were resolved for {expected}"
        )


def _without_trainable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_trainable(item) for key, item in value.items() if key != "trainable"}
    return [_without_trainable(item) for item in value] if isinstance(value, list) else value


def finalize(model: keras.Model) -> None:
    """Let layers that compute with values derived from their weights (Normalization) derive them again.

    Keras does so when it loads a file, but not in `set_weights` or when a variable is assigned.
    """
    for layer in leaves(model):
        if layer.built and hasattr(layer, "finalize_state"):
            layer.finalize_state()


def preprocessing(model: keras.Model) -> list[Preprocessing]:
    """The preprocessing layers before the first other layer with weights: what each does, in order.

    If models are nested, they are those of the innermost one that has that layer.
    """
    found: list[Preprocessing] = []
    for layer in leaves(model):
        kind = type(layer).__name__
        if kind == "InputLayer":
            found = []
        elif kind in PREPROCESSING:
            config = layer.get_config()
            found.append({_KIND: kind, **{name: config[name] for name in _SCALES if config.get(name) is not None}})
        elif layer.weights:
            return found
    return found


def leaves(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model and of the models in it, those without layers inside."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


def agrees(model: Sequence[Preprocessing], found: Sequence[Preprocessing]) -> bool:
    """Whether preprocessing layers can be those of a model; what is not known of them is not compared."""
    if any(one.keys() == {_KIND} for one in found):  # from a file of weights, which does not say their order either
        return sorted(one[_KIND] for one in model) == sorted(one[_KIND] for one in found)
    return digests.of_json(list(model)) == digests.of_json(list(found))


def preprocessing_in_file(path: Path) -> list[Preprocessing] | None:
    """The preprocessing layers that a file of weights was saved from, in any order; None if it does not say.

    Keras 3 writes a group for every layer, also for one without weights, and its name begins with the layer's class.
    Files in the older format list the names of their layers. The older files of ImageNet weights that Keras downloads
    lack the second Rescaling, but their statistics are those that need it.

    Raises:
        OSError: it is not an HDF5 file.
    """
    import h5py

    with h5py.File(path, "r") as file:
        older = "layers" not in file
        names = _names_of_layers(file) if older else list(file["layers"])
        statistics = older and _has_imagenet_statistics(file)
    if names is None:
        return None
    pattern = re.compile(rf"({'|'.join(PREPROCESSING)})(_\d+)?", re.IGNORECASE)
    kinds = [match[1].capitalize() for match in map(pattern.fullmatch, names) if match]
    if statistics and kinds.count("Rescaling") == 1:
        kinds.append("Rescaling")
    return [{_KIND: kind} for kind in kinds]


def _names_of_layers(file: Any) -> list[str] | None:
    root = file.get("model_weights", file)
    names = root.attrs.get("layer_names")
    return None if names is None else [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _has_imagenet_statistics(file: Any) -> bool:
    """Whether a Normalization has standard deviations for its variances, as in Keras' EfficientNet files."""
    import numpy as np
    from keras.src.applications.efficientnet import IMAGENET_STDDEV_RGB

    variances: list[Any] = []
    file.visititems(
        lambda name, item: (
            variances.append(item[()]) if "variance" in name.lower() and getattr(item, "shape", None) == (3,) else None
        )
    )
    return any(np.allclose(variance, IMAGENET_STDDEV_RGB, atol=1e-4) for variance in variances)
