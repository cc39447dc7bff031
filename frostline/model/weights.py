"""Weights by reference: the plan step resolves them once, into a file in the store that later steps load.

References: `imagenet`, `random`, `own` (the weights of a backbone that is a `.keras` file), `registry:MODEL@champion`,
`registry:MODEL/N`, or a local or gs:// file (`.weights.h5`, `.h5` or `.keras`).
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frostline import digests, registry, storage
from frostline.data import lineage
from frostline.documents.freeze import ResolvedWeights, WeightsSource
from frostline.documents.training import KERAS_FILE
from frostline.errors import ConfigError, NotFound, WeightsError
from frostline.events import say
from frostline.freeze import certificate
from frostline.model import architecture, backbones, own_model, same_graph
from frostline.text import listed, one_line

if TYPE_CHECKING:
    import keras

OWN = "own"
_WITH_HEAD = "; if it is the file of a model with a head, save that model as .keras: its first layers are then taken"
_AS_IT_IS = "to train the model in a .keras file as it is, use backbone=FILE.keras weights=own"
SUFFIXES = (".weights.h5", ".h5", ".keras")
_DIGEST = ".sha256"  # of the file beside one in the store


def resolve(
    reference: str,
    backbone: str,
    image_size: int,
    seed: int,
    registry_root: str,
    public_key: bytes | None = None,
) -> tuple[keras.Model, ResolvedWeights, set[str]]:
    """Build the backbone with the weights that `reference` names.

    Args:
        reference: to the weights.
        backbone: name of the backbone.
        image_size: height and width of the input, in pixels.
        seed: of random weights.
        registry_root: root of the registry for `registry:` references.
        public_key: PEM, with which the signature of a version must verify before it is loaded; None demands none.

    Returns:
        The model, the resolved reference, and the SHA-256 of the images that a version in the registry was made with,
        if it records them.

    Raises:
        WeightsError: the weights are missing or do not fit the backbone.
        RegistryError: the registry has no such version, or it has no signature, which is demanded.
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
        with tempfile.TemporaryDirectory() as directory:
            path, resolved = _fetch(reference, registry_root, Path(directory), public_key)
            model = _from_file(path, reference, backbone, image_size)
            if (path.parent / lineage.FILE).exists() and reference.startswith("registry:"):
                images = lineage.read(path.parent)
    digest = certificate.weights_digest(model.layers)
    graph = architecture.digest(model)
    return model, {"reference": reference, "resolved": resolved, "digest": digest, "graph": graph}, images


def save(model: keras.Model, store: str, digest: str) -> str:
    """Write the model, graph and weights, to the store under their digest unless it is there; return the address.

    Later steps load this file and never build the model by name: the graph can depend on the weights and on Keras. A
    file that is no longer what was written is replaced. Keras writes the time into it, so the digest of its bytes is
    in a file beside it.
    """
    uri = storage.join(store, "weights", f"{digests.of_json([model.to_json(), digest])}.keras")
    found = storage.stat(uri)
    if found is None or not _is_as_written(uri, found.size, model, digest):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "backbone.keras"
            model.save(path)
            storage.upload_file(path, uri)
            storage.write_bytes(f"{uri}{_DIGEST}", digests.of_file(path).encode())
        if found is not None:
            say(f"{uri}: was damaged in the store; it is written again")
    return uri


def _is_as_written(uri: str, size: int, model: keras.Model, digest: str) -> bool:
    """By the digest beside it, or by what it holds, where an earlier version wrote it without one."""
    found = storage.sha256(uri, size).encode()
    try:
        return storage.read_bytes(f"{uri}{_DIGEST}") == found
    except NotFound:
        pass
    try:
        load({"reference": "", "resolved": "", "digest": digest, "graph": architecture.digest(model), "uri": uri})
    except (WeightsError, ConfigError):
        return False
    storage.write_bytes(f"{uri}{_DIGEST}", found)
    return True


def load(source: WeightsSource) -> keras.Model:
    """Load the backbone that the plan step saved, and check the digests of its graph and its weights.

    Raises:
        ConfigError, WeightsError: the file is not the one that the plan step wrote.
    """
    if "graph" not in source:
        raise WeightsError(f"{source['uri']}: was stored by an earlier version, without its graph; run plan again")
    model = own_model.read(source["uri"])
    for what, found, expected in (
        ("weights", certificate.weights_digest(model.layers), source["digest"]),
        ("graph", architecture.digest(model), source["graph"]),
    ):
        if found != expected:
            raise WeightsError(f"{source['uri']}: digest of the {what}: received {found}; the plan is for {expected}")
    return model


def _imagenet(backbone: str, image_size: int) -> keras.Model:
    if backbone == backbones.SMALL:
        raise WeightsError(f"weights: received 'imagenet'; {backbone} has none; use 'random' or a registry reference")
    try:
        return backbones.build_imagenet(backbone, image_size)
    except Exception as error:  # urllib and Keras raise many different errors
        reason = one_line(error, 200)
        raise WeightsError(
            f"weights: received 'imagenet', which cannot be downloaded ({reason}); "
            "without a network use 'random', a local weights file or a registry reference"
        ) from error


def _fetch(reference: str, registry_root: str, into: Path, public_key: bytes | None) -> tuple[Path, str]:
    if reference.startswith("registry:"):
        version = registry.look_up(registry_root, reference)
        found = registry.download_signed(version, into / "version", public_key)
        return found / KERAS_FILE, f"{version.model}/{version.number}"
    if not reference.endswith(SUFFIXES):
        raise WeightsError(f"weights: received {reference!r}; expected a file that ends in {', '.join(SUFFIXES)}")
    try:
        return storage.localize(reference, into), reference
    except NotFound:
        raise WeightsError(f"weights: received {reference!r}, which does not exist") from None


def _from_file(path: Path, reference: str, backbone: str, image_size: int) -> keras.Model:
    """The backbone with the weights of a file, in the graph that they belong to."""
    try:
        if path.suffix == ".keras" and own_model.is_hdf5(path):
            raise WeightsError(f"weights: {reference!r} is an HDF5 file and no .keras archive; rename it to end in .h5")
        if path.suffix == ".keras":
            import keras

            loaded = keras.models.load_model(path, compile=False, safe_mode=True)
            quantized = own_model.problem_of_quantized(loaded)
            if quantized:
                raise WeightsError(f"weights: {reference!r} does not fit {backbone}: {quantized}")
            model = _graph_of(architecture.preprocessing(loaded), reference, backbone, image_size)
            _copy_leading(model, loaded, reference)
            regularized = own_model.with_regularizers(loaded)
            if regularized and not own_model.with_regularizers(model):
                say(
                    f"weights: the regularizers in {reference} ({listed(regularized)}) are not used, only its weights; "
                    f"{_AS_IT_IS}"
                )
        else:
            model = _graph_of(architecture.preprocessing_in_file(path), reference, backbone, image_size)
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # Keras only warns of layers that keep their random weights
                model.load_weights(path)
    except WeightsError:
        raise
    except Exception as error:  # h5py, zipfile and Keras raise different errors
        reason = own_model.why_not_loaded(error)
        hint = "" if path.suffix == ".keras" else _WITH_HEAD
        raise WeightsError(f"weights: {reference!r} does not fit {backbone}: {reason.rstrip('.')}{hint}") from error
    return model


def _graph_of(
    found: Sequence[architecture.Preprocessing] | None, reference: str, backbone: str, image_size: int
) -> keras.Model:
    """The graph of a backbone that has the preprocessing layers of a file; the first one if the file does not say."""
    graphs = [backbones.build(backbone, image_size)]
    if backbones.has_pretrained_graph(backbone):
        graphs.append(backbones.build(backbone, image_size, pretrained=True))
    if found is None or not any(map(architecture.preprocessing, graphs)):  # pixels are normalised outside the graph
        return graphs[0]
    fitting = [graph for graph in graphs if architecture.agrees(architecture.preprocessing(graph), found)]
    if not fitting:
        raise WeightsError(
            f"weights: {reference!r} was saved from a model with other preprocessing layers than {backbone} has; "
            f"{_AS_IT_IS}"
        )
    return fitting[0]


def _copy_leading(model: keras.Model, loaded: keras.Model, reference: str) -> None:
    """Copy weights into the backbone; the loaded model may have further layers after it, such as a head."""
    for index, target in enumerate(model.weights):
        if index >= len(loaded.weights) or tuple(loaded.weights[index].shape) != tuple(target.shape):
            received = tuple(loaded.weights[index].shape) if index < len(loaded.weights) else "no more weights"
            raise WeightsError(
                f"weights: {reference!r} does not fit {model.name}: weight {index} ({target.path}) "
                f"has shape {tuple(target.shape)}, the file has {received}"
            )
        target.assign(loaded.weights[index])
    architecture.finalize(model)
    difference = same_graph.difference(model, loaded)
    if difference:
        raise WeightsError(f"weights: {reference!r} does not fit {model.name}: {difference}; {_AS_IT_IS}")
