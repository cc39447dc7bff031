"""Damage a trained model's directory, or forge its certificate with knowledge of how it is made."""

import json
import shutil

import keras
import numpy as np

from frostline import digests
from frostline.documents.freeze import CERTIFICATE
from frostline.documents.training import KERAS_FILE, MODEL, SERVING_DIRECTORY
from frostline.freeze import certificate
from frostline.model import export

# Frozen tensors of a SmallConvNet whose block1 is frozen: their layer, and their index among its weights.
FROZEN = {"block1_conv/0:kernel": ("block1_conv", 0), "block3_bn/2:moving_mean": ("block3_bn", 2)}


def failed(result):
    """Names of the checks that failed, without those that were skipped; every reason is one line."""
    assert result["verified"] == all(check["passed"] for check in result["checks"])
    assert all(check["reason"] and "\n" not in check["reason"] for check in result["checks"])
    return [
        check["name"]
        for check in result["checks"]
        if not check["passed"] and not check["reason"].startswith("not checked")
    ]


def flip(path, byte, bit=0):
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


def read(directory, document):
    """The content of a document, whatever its schema."""
    return json.loads((directory / document.file).read_text())


def edit(directory, document, **changes):
    document.write(directory, {**read(directory, document), **changes})


def reseal(directory, **changes):
    """Forge a certificate: other content, the current digests of the files, and a seal that matches."""
    content = read(directory, CERTIFICATE) | {"files": certificate.file_digests(directory), **changes}
    CERTIFICATE.write(directory, certificate.seal(content))


def moved_model(model_dir, tensor):
    """The model with one frozen value one ulp away."""
    layer, index = FROZEN[tensor]
    model = keras.models.load_model(model_dir / KERAS_FILE)
    weight = model.get_layer(layer).weights[index]
    value = weight.numpy().copy()
    value.flat[0] = np.nextafter(value.flat[0], np.float32(np.inf))
    weight.assign(value)
    return model


def export_again(model, model_dir, labels=("amber", "cobalt", "jade")):
    shutil.rmtree(model_dir / SERVING_DIRECTORY)
    export.save(model, list(labels), 32, "SmallConvNet", model_dir / SERVING_DIRECTORY)


def forge(model_dir, tensor, states):
    """Change a tensor and all that depends on it: files, description, and its digests of these states."""
    model = moved_model(model_dir, tensor)
    model.save(model_dir / KERAS_FILE)
    export_again(model, model_dir)
    forged, description = read(model_dir, CERTIFICATE), read(model_dir, MODEL)
    layer, index = FROZEN[tensor]
    digest = certificate.tensor_digest(model.get_layer(layer).weights[index].numpy())
    for state in states:
        forged["tensors"][tensor]["digests"][state] = digest
    weights_digest = certificate.weights_digest(model.layers)
    described = {name: description[name] for name in ("labels", "image_size", "backbone", "head")}
    model_digest = digests.of_json({"weights": weights_digest, **described})
    edit(model_dir, MODEL, model_digest=model_digest)
    source = certificate.combined_digest({name: entry["digests"][0] for name, entry in forged["tensors"].items()})
    forged |= {"weights_digest": weights_digest, "model_digest": model_digest, "source_digest": source}
    reseal(model_dir, **{key: value for key, value in forged.items() if key != "files"})
