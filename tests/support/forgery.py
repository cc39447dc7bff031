"""Damage a trained model's directory, or forge its certificate, as somebody would who knows how it is made."""

import json
import shutil

import keras
import numpy as np

from frostline import artifacts, digests
from frostline.freeze import certificate
from frostline.model import export

# Frozen tensors of a SmallConvNet whose block1 is frozen: their layer, and their place among its weights.
FROZEN = {"block1_conv/0:kernel": ("block1_conv", 0), "block3_bn/2:moving_mean": ("block3_bn", 2)}


def failed(result):
    """Names of the checks that failed, those left out that rest on another one; reasons are one line each."""
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


def edit(path, kind, **changes):
    document = json.loads(path.read_text())
    artifacts.write_json(path, kind, {**document, **changes})


def reseal(directory, **changes):
    """Forge: a certificate with other content, the digests of the files as they are now, and a seal that fits."""
    document = json.loads((directory / certificate.FILE).read_text())
    document |= {"files": certificate.file_digests(directory), **changes}
    artifacts.write_json(directory / certificate.FILE, "freeze_certificate", certificate.seal(document))


def moved_model(model_dir, tensor):
    """The model with one frozen value one ulp away."""
    layer, index = FROZEN[tensor]
    model = keras.models.load_model(model_dir / "model.keras")
    weight = model.get_layer(layer).weights[index]
    value = weight.numpy().copy()
    value.flat[0] = np.nextafter(value.flat[0], np.float32(np.inf))
    weight.assign(value)
    return model


def export_again(model, model_dir):
    shutil.rmtree(model_dir / "serving")
    export.save(model, ["amber", "cobalt", "jade"], 32, "SmallConvNet", model_dir / "serving")


def forge(model_dir, tensor, states):
    """Move a tensor and rewrite all that depends on it: files, description, its digests after these states."""
    model = moved_model(model_dir, tensor)
    model.save(model_dir / "model.keras")
    export_again(model, model_dir)
    proof = json.loads((model_dir / certificate.FILE).read_text())
    description = json.loads((model_dir / "model.json").read_text())
    layer, index = FROZEN[tensor]
    digest = certificate.tensor_digest(model.get_layer(layer).weights[index].numpy())
    for state in states:
        proof["tensors"][tensor]["digests"][state] = digest
    weights_digest = certificate.weights_digest(model.layers)
    described = {name: description[name] for name in ("labels", "image_size", "backbone", "head")}
    model_digest = digests.of_json({"weights": weights_digest, **described})
    edit(model_dir / "model.json", "model", model_digest=model_digest)
    source = certificate.combined_digest({name: entry["digests"][0] for name, entry in proof["tensors"].items()})
    proof |= {"weights_digest": weights_digest, "model_digest": model_digest, "source_digest": source}
    reseal(model_dir, **{key: value for key, value in proof.items() if key != "files"})
