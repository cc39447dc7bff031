"""Weights by reference: the plan step resolves them once, into a file in the store that later steps load.

References: `imagenet`, `random`, `own` (the weights of a backbone that is a `.keras` file), `registry:MODEL@champion`,
`registry:MODEL/N`, or a local or gs:// file (`.weights.h5`, `.h5` or `.keras`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from frostline import digests, registry, storage
from frostline.data import lineage
from frostline.documents.freeze import ResolvedWeights, WeightsSource
from frostline.documents.training import KERAS_FILE
from frostline.errors import NotFound, WeightsError
from frostline.freeze import certificate
from frostline.model import backbones
from frostline.text import one_line

if TYPE_CHECKING:
    import keras

OWN = "own"
SUFFIXES = (".weights.h5", ".h5", ".keras")


def resolve(
    reference: str, backbone: str, image_size: int, seed: int, registry_root: str
) -> tuple[keras.Model, ResolvedWeights, set[str]]:
    """Build the backbone with the weights that `reference` names.

    Args:
        reference: to the weights.
        backbone: name of the backbone.
        image_size: height and width of the input, in pixels.
        seed: of random weights.
        registry_root: root of the registry for `registry:` references.

    Returns:
        The model, the resolved reference, and the SHA-256 of the images that a version in the registry was made with,
        if it records them.

    Raises:
        WeightsError: the weights are missing or do not fit the backbone.
        RegistryError: the registry has no such version.
    """
    if backbones.is_file(backbone) != (reference == OWN) and reference in (OWN, "random", "imagenet"):
        expected = "'own', a file or a registry reference" if backbones.is_file(backbone) else "'random' or 'imagenet'"
        raise WeightsError(f"weights: received {reference!r}; for the backbone {backbone} expected {expected}")
    images: set[str] = set()
    if reference == OWN:
        model, resolved = backbones.build(backbone, image_size), backbone
    elif reference == "random":
        import keras

        keras.utils.set_random_seed(seed)
        model, resolved = backbones.build(backbone, image_size), f"random, seed {seed}"
    elif reference == "imagenet":
        model, resolved = _imagenet(backbone, image_size), "imagenet"
    else:
        model = backbones.build(backbone, image_size)
        with tempfile.TemporaryDirectory() as directory:
            path, resolved = _fetch(reference, registry_root, Path(directory))
            _load_into(model, path, reference)
            if (path.parent / lineage.FILE).exists() and reference.startswith("registry:"):
                images = lineage.read(path.parent)
    digest = certificate.weights_digest(model.layers)
    return model, {"reference": reference, "resolved": resolved, "digest": digest}, images


def save(model: keras.Model, store: str, backbone: str, digest: str) -> str:
    """Write the weights to the store under their digest if they are not there yet; return the address.

    A backbone that is a file is stored as a whole model, because later steps cannot build it by name.
    """
    suffix = ".keras" if backbones.is_file(backbone) else ".weights.h5"
    made_from = digests.of_json([model.to_json(), digest]) if backbones.is_file(backbone) else digest
    uri = storage.join(store, "weights", f"{made_from}{suffix}")
    if storage.stat(uri) is None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / f"backbone{suffix}"
            if backbones.is_file(backbone):
                model.save(path)
            else:
                model.save_weights(path)
            storage.upload_file(path, uri)
    return uri


def load(source: WeightsSource, backbone: str, image_size: int) -> keras.Model:
    """Build the backbone with the weights that the plan step saved, and check their digest.

    Raises:
        WeightsError: the file is not the one that the plan step wrote.
    """
    if backbones.is_file(backbone):
        model = backbones.build(source["uri"], image_size)
    else:
        model = backbones.build(backbone, image_size)
        with tempfile.TemporaryDirectory() as directory:
            _load_into(model, storage.localize(source["uri"], Path(directory)), source["reference"])
    found = certificate.weights_digest(model.layers)
    if found != source["digest"]:
        raise WeightsError(f"{source['uri']}: has digest {found}; the plan was made for {source['digest']}")
    return model


def _imagenet(backbone: str, image_size: int) -> keras.Model:
    if backbone == backbones.SMALL:
        raise WeightsError(f"weights: received 'imagenet'; {backbone} has none; use 'random' or a registry reference")
    try:
        return backbones.build(backbone, image_size, weights="imagenet")
    except Exception as error:  # urllib and Keras raise many different errors
        reason = one_line(error, 200)
        raise WeightsError(
            f"weights: received 'imagenet', which cannot be downloaded ({reason}); "
            "without a network use 'random', a local weights file or a registry reference"
        ) from error


def _fetch(reference: str, registry_root: str, into: Path) -> tuple[Path, str]:
    if reference.startswith("registry:"):
        version = registry.look_up(registry_root, reference)
        return registry.download(version, into / "version") / KERAS_FILE, f"{version.model}/{version.number}"
    if not reference.endswith(SUFFIXES):
        raise WeightsError(f"weights: received {reference!r}; expected a file that ends in {', '.join(SUFFIXES)}")
    try:
        return storage.localize(reference, into), reference
    except NotFound:
        raise WeightsError(f"weights: received {reference!r}, which does not exist") from None


def _load_into(model: keras.Model, path: Path, reference: str) -> None:
    """Load weights into the backbone; a model in a `.keras` file may have further layers after it, such as a head."""
    try:
        if path.suffix == ".keras":
            _copy_leading(model, path, reference)
        else:
            model.load_weights(path)
    except WeightsError:
        raise
    except Exception as error:  # h5py, zipfile and Keras raise different errors
        reason = one_line(error)
        raise WeightsError(f"weights: {reference!r} does not fit {model.name}: {reason}") from error


def _copy_leading(model: keras.Model, path: Path, reference: str) -> None:
    import keras

    loaded = keras.models.load_model(path, compile=False, safe_mode=True)
    for index, target in enumerate(model.weights):
        if index >= len(loaded.weights) or tuple(loaded.weights[index].shape) != tuple(target.shape):
            received = tuple(loaded.weights[index].shape) if index < len(loaded.weights) else "no more weights"
            raise WeightsError(
                f"weights: {reference!r} does not fit {model.name}: weight {index} ({target.path}) "
                f"has shape {tuple(target.shape)}, the file has {received}"
            )
        target.assign(loaded.weights[index])
