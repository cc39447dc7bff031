"""A user's model as the backbone: a `.keras` file, loaded in safe mode, checked, and made ready to be cut.

Models inside the model are replaced by their layers, so that each can be frozen and certified. Everything computes in
float32: the rest of training has its own precision (`training.precision`), and float16 would need loss scaling.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frostline import storage
from frostline.documents.freeze import FreezePlan
from frostline.errors import ConfigError, NotFound
from frostline.events import say
from frostline.model import architecture
from frostline.model.head import PREFIX
from frostline.text import listed, one_line

if TYPE_CHECKING:
    import keras

_HDF5 = b"\x89HDF"
_MISSING = re.compile(r"[Cc]ould not locate (?:class|function) '([^']+)'")
CONVERT = "load it with keras.models.load_model and save it under a name that ends in .keras"
_FLOAT32 = "float32"


def load(name: str, image_size: int) -> keras.Model:
    """A user's model as a backbone.

    Args:
        name: of the file, local or gs://.
        image_size: height and width of the input, in pixels; the file may leave them open.

    Returns:
        A functional model in float32 whose layers are not models themselves.

    Raises:
        ConfigError: the file cannot be loaded, or cannot be a backbone.
    """
    import keras

    model = read(name)
    model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)  # makes a sequential model functional
    problem = _problem_of_ends(model, image_size)
    if not problem:
        try:
            model = _rebuilt(model, image_size)
        except Exception as error:  # Keras raises different errors
            reason = (
                f"its layers cannot be taken out of the models inside it ({one_line(error, 120)}); use them directly"
            )
            raise ConfigError("backbone", name, reason) from error
        problem = _problem_of_layers(model)
    if problem:
        raise ConfigError("backbone", name, problem)
    return model


def read(name: str) -> keras.Model:
    """Load a `.keras` file with one input and one output in safe mode, as it is.

    Raises:
        ConfigError: there is no such file, or it is not such a model.
    """
    import keras

    with tempfile.TemporaryDirectory() as directory:
        try:
            path = storage.localize(name, Path(directory))
            if is_hdf5(path):
                raise ConfigError("backbone", name, f"it is an HDF5 file and no .keras archive; {CONVERT}")
            model = keras.models.load_model(path, compile=False, safe_mode=True)
        except NotFound:
            raise ConfigError("backbone", name, "there is no such file") from None
        except ConfigError:
            raise
        except Exception as error:  # zipfile, h5py and Keras raise different errors
            raise ConfigError("backbone", name, f"it cannot be loaded: {why_not_loaded(error)}") from error
    if not getattr(model, "inputs", None) or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ConfigError("backbone", name, "expected a functional or sequential model with one input and one output")
    return model


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 files do, whatever its name says."""
    with path.open("rb") as file:
        return file.read(len(_HDF5)) == _HDF5


def why_not_loaded(error: Exception) -> str:
    """Why Keras cannot load a model, in one line: the class that is missing comes first."""
    missing = _MISSING.search(str(error))
    if missing is None:
        return one_line(error, 200)
    return (
        f"its class {missing[1]!r} is not one of Keras, and code of others is not run; build the model from Keras' "
        "layers and save it again"
    )


def remarks(model: keras.Model, plan: FreezePlan) -> list[str]:
    """What a user should know of how their model is trained, a line each.

    Args:
        model: as `load` returns it.
        plan: resolved against it.
    """
    boundary = plan["boundary"]
    positions = {operation.name: place for place, operation in enumerate(model.operations)}
    last = -1 if boundary is None else positions.get(boundary["layer"], len(positions))
    below = [one.name for one in model.layers if positions[one.name] <= last and is_random(one)]
    found = []
    if below and boundary is not None:
        found.append(
            f"these random layers lie below the freeze boundary, {boundary['layer']}, where the model runs in "
            f"inference mode, so they are off: {listed(below)}; to vary images there, use augment"
        )
    always = {row["name"] for row in plan["layers"] if row["frozen"]}
    for phase in plan["phases"]:
        always &= set(phase["frozen"])
    regularized = set(with_regularizers(model)) - always
    if regularized:
        found.append(
            f"the loss that is minimized includes the regularizers of trained weights ({listed(sorted(regularized))}); "
            "the loss that is reported does not"
        )
    return found


def require_servable(name: str, model: keras.Model) -> None:
    """Check that an export of the model has operations only that may be served; it takes a second or two.

    Raises:
        ConfigError: it has others, which nobody should learn after training.
    """
    import tensorflow as tf

    from frostline.model import operations

    traced = tf.function(model, autograph=False).get_concrete_function(
        tf.TensorSpec(model.inputs[0].shape), training=False
    )
    refused = operations.refused(traced.graph.as_graph_def())
    if refused:
        raise ConfigError("backbone", name, f"it uses {listed(refused)}, which no image model needs to be served")


def with_regularizers(model: keras.Model) -> list[str]:
    """Names of the layers that have a regularizer of a weight or of their activity."""
    return [
        layer.name
        for layer in architecture.leaves(model)
        if getattr(layer, "activity_regularizer", None) is not None
        or any(getattr(weight, "regularizer", None) is not None for weight in layer.weights)
    ]


def is_random(layer: keras.Operation) -> bool:
    """Whether it draws random numbers in training, or a layer inside it does."""
    parts = layer._flatten_layers() if hasattr(layer, "_flatten_layers") else ()  # plain operations have none
    return any(getattr(part, "seed_generator", None) is not None or getattr(part, "generator", None) for part in parts)


def _problem_of_ends(model: keras.Model, image_size: int) -> str:
    """Why the input or the output of a model cannot be those of a backbone; empty if they can."""
    image, features = model.inputs[0].shape, model.outputs[0].shape
    if len(image) != 4 or any(size not in (None, image_size) for size in image[1:3]) or image[3] != 3:
        return f"its input is {image}; expected (None, {image_size}, {image_size}, 3), as in image_size"
    if len(features) not in (2, 4):
        return f"its output is {features}; expected features, [batch, height, width, channels] or [batch, channels]"
    return problem_of_quantized(model)


def problem_of_quantized(model: keras.Model) -> str:
    """That layers of a model have integers for weights, which cannot be trained; empty if none has."""
    found = [
        layer.name
        for layer in architecture.leaves(model)
        if getattr(layer.dtype_policy, "quantization_mode", None) is not None
    ]
    return f"it was quantized, in {listed(found)}; use the model that it was quantized from" if found else ""


def _problem_of_layers(model: keras.Model) -> str:
    """Why a layer cannot be frozen and certified, or trained as it is meant; empty if all can."""
    calls = Counter(id(node.operation) for nodes in model._nodes_by_depth.values() for node in nodes)
    for layer in model.layers:
        problem = _problem_of_layer(layer, calls[id(layer)])
        if problem:
            return f"its layer {layer.name!r} {problem}"
    return ""


def _problem_of_layer(layer: keras.layers.Layer, calls: int) -> str:
    import keras

    inner = list(layer._flatten_layers(include_self=False))
    if any(isinstance(part, keras.layers.BatchNormalization) for part in inner):
        return "contains BatchNormalization, which cannot be frozen alone; use the layers inside it directly"
    if any(isinstance(part, keras.layers.SpectralNormalization) for part in (layer, *inner)):
        return "is a SpectralNormalization, which changes its weights in training even if it is frozen"
    if any(getattr(part, "activity_regularizer", None) is not None for part in (layer, *inner)):
        return "has an activity_regularizer, which is no part of the loss here; set it to None and save the model again"
    if calls > 1:
        return "is used more than once; use a separate layer for each call"
    if layer.name.startswith(PREFIX):
        return f"has a name that begins with {PREFIX}, as the head's layers do; rename it"
    return ""


def _rebuilt(model: keras.Model, image_size: int) -> keras.Model:
    """The model with a fixed image size, without models inside, and in float32; itself if it is that already."""
    lowered = sorted({kind for layer in architecture.leaves(model) for kind in _types(layer)} - {_FLOAT32})
    if lowered:
        say(f"the backbone was saved with the precision {listed(lowered)}; it computes in float32 here")
    free = None in model.inputs[0].shape[1:3]
    nested = any(map(_is_model, model.layers))
    if not free and not lowered and not nested:
        return model
    import keras

    flat = _inlined(model, image_size) if free or nested else model
    rebuilt = keras.Model.from_config(_in_float32(flat.get_config()))
    rebuilt.set_weights(flat.get_weights())
    architecture.finalize(rebuilt)
    return rebuilt


def _types(layer: keras.layers.Layer) -> tuple[str, str]:
    return layer.compute_dtype, layer.variable_dtype


def _is_model(layer: object) -> bool:
    import keras

    return isinstance(layer, keras.Model)


def _inlined(model: keras.Model, image_size: int) -> keras.Model:
    """The same layers on images of a fixed size, with the layers of each model inside in its place.

    A layer whose name is taken gets that of the model around it in front.
    """
    import keras

    image = keras.Input((image_size, image_size, 3), name=model.layers[0].name)
    taken = {image._keras_history.operation.name: 0}

    def call(outer: str, around: keras.Model, inputs: Any) -> Any:
        def operation(inner: Any) -> Any:
            if _is_model(inner):
                functional = getattr(inner, "_functional", None) or inner  # of a sequential model
                return lambda *arguments, **_: call(f"{outer}{inner.name}_", functional, arguments[0])
            while taken.setdefault(inner.name, id(inner)) != id(inner):
                inner.name = f"{outer or around.name + '_'}{inner.name}"
            return inner

        found = around._run_through_graph(inputs, operation_fn=operation)
        return found[0] if isinstance(found, list | tuple) else found

    return keras.Model(image, call("", model, image), name=model.name)


def _in_float32(config: Any) -> Any:
    """A configuration in which every layer computes in float32."""
    if isinstance(config, dict):
        return {
            key: _FLOAT32 if key == "dtype" and _names_a_float(value) else _in_float32(value)
            for key, value in config.items()
        }
    return [_in_float32(item) for item in config] if isinstance(config, list) else config


def _names_a_float(value: Any) -> bool:
    return "float" in json.dumps(value) and not isinstance(value, list)
