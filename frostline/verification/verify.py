"""verify: prove a freeze certificate again, from a model's files alone.

Digests show that something changed, not who changed it: whoever rewrites every file, first digests included, and
seals a new certificate is found out by the weights that training started from, or by a signature over the files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from frostline import artifacts, storage
from frostline.artifacts import Json
from frostline.errors import ConfigError, FrostlineError, NotFound
from frostline.model import backbones
from frostline.model.weights import SUFFIXES, load, resolve
from frostline.registry import MANIFEST
from frostline.text import one_line
from frostline.verification import certificate_checks as of_certificate
from frostline.verification import version_checks as of_version

if TYPE_CHECKING:
    import keras

T = TypeVar("T")
_OF_A_VERSION = ("saved_model.pb", "decision.json")  # stand beside the certificate in a version alone
_LONGEST = 300  # characters of a reason that a library gave


class _Checks:
    """The checks so far, and the tensors that one of them found changed."""

    def __init__(self) -> None:
        self.rows: list[Json] = []
        self.changed: set[str] = set()

    def __call__(self, name: str, fact: str, question: Callable[..., T], *needs: Any) -> T | None:
        """Ask one question; its answer, or None where it failed or needs what an earlier one failed to give."""
        if any(need is None for need in needs):
            self._add(name, False, "not checked: a check before it failed")
            return None
        try:
            answer = question(*needs)
        except Exception as error:  # of a damaged file, zipfile, h5py, TensorFlow and Keras each raise their own
            self.changed.update(error.tensors if isinstance(error, of_certificate.Failed) else ())
            known = isinstance(error, of_certificate.Failed | FrostlineError)
            self._add(name, False, str(error) if known else f"{type(error).__name__}: {error}"[:_LONGEST])
            return None
        self._add(name, True, fact)
        return answer

    def _add(self, name: str, passed: bool, reason: str) -> None:
        self.rows.append({"name": name, "passed": passed, "reason": one_line(reason, 2000)})


def verify(model_dir: str | Path, weights: str | None = None, registry: str = "") -> Json:
    """Check everything that the certificate of a model says. A file that cannot be read is a check that failed.

    Args:
        model_dir: what train emitted, or a version's directory in a registry; local or gs://.
        weights: what training should have started from: a weights artifact (its directory or source.json), a file
            (`.weights.h5`, `.h5` or `.keras`) or a `registry:` reference. None leaves that check out.
        registry: root of the registry that a reference is looked up in.

    Returns:
        {schema, verified, frozen_tensors, moved, unmoved_trainable, checks: [{name, passed, reason}]}. `moved` names
        the frozen tensors that differ before and after a phase, or in an exported file.

    Raises:
        ConfigError: there is nothing at `model_dir` or `weights`.
        StorageError: a bucket cannot be read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        directory = _localize("MODEL_DIR", str(model_dir), Path(scratch) / "model")
        if not directory.is_dir():
            raise ConfigError("MODEL_DIR", str(model_dir), "expected a directory")
        source = None if weights is None else _place(weights, registry, Path(scratch) / "weights")
        return _verify(directory, source, registry, of_version.place(str(model_dir)))


def _verify(directory: Path, source: str | None, registry: str, place: tuple[str, str, int] | None) -> Json:
    checks = _Checks()
    proof = checks("certificate", "sealed, every byte as it was written", of_certificate.read_certificate, directory)
    plan = checks("plan", "the one that was certified", of_certificate.read_plan, directory, proof)
    made = checks("tensors", "each has a digest before and after every phase", of_certificate.recompute, plan, proof)
    checks("frozen", "no frozen tensor changed in any phase", of_certificate.nothing_frozen_changed, made)
    checks("claims", "the certificate says of itself what its digests give", of_certificate.claims_hold, proof, made)
    checks("source", "its digest is that of all first digests", of_certificate.source_holds, proof, made)
    whole = checks("files", "all certified files, unchanged, and no other", of_certificate.files_hold, directory, proof)
    # What is not as certified is not opened: a damaged file can do more to a reader than make it raise.
    model = checks("model", "model.keras loads in safe mode", lambda _: of_certificate.load_model(directory), whole)
    checks("policy", "gives this plan for the model's own graph", of_certificate.policy_holds, plan, model)
    checks(
        "keras_weights",
        "model.keras holds the certified values",
        of_certificate.keras_weights_hold,
        plan,
        proof,
        model,
    )
    checks(
        "serving_weights",
        "the SavedModel holds them too",
        of_certificate.serving_weights_hold,
        directory,
        proof,
        model,
    )
    checks(
        "description",
        "model.json is about this model",
        of_certificate.description_holds,
        directory,
        plan,
        proof,
        model,
    )
    if source is not None:
        checks(
            "source_weights",
            "training started from them",
            lambda plan, proof: of_certificate.source_weights_hold(proof, _load(source, registry, plan)),
            plan,
            proof,
        )
    if place is not None or any((directory / name).exists() for name in (MANIFEST, *_OF_A_VERSION)):
        fact = "every published file is as it was written, and there is no other"
        manifest = checks("manifest", fact, of_version.manifest_holds, directory)
        if place is not None:
            agrees = of_version.registry_agrees
            checks("registry", "it is what was claimed, proven and promoted", agrees, place, directory, manifest)
    return {
        "schema": artifacts.schema("verification"),
        "verified": all(row["passed"] for row in checks.rows),
        "frozen_tensors": made["frozen_tensors"] if made else 0,
        "moved": sorted({*made["moved"], *of_certificate.still_at_the_end(plan, checks.changed)})
        if plan and made
        else [],
        "unmoved_trainable": made["unmoved_trainable"] if made else [],
        "checks": checks.rows,
    }


def _localize(field: str, uri: str, into: Path) -> Path:
    try:
        return storage.localize(uri, into)
    except NotFound:
        raise ConfigError(field, uri, "there is nothing at this address") from None


def _place(source: str, registry: str, into: Path) -> str:
    """Where the weights are on this machine; a registry reference as it is."""
    if not source.startswith("registry:"):
        return str(_localize("--weights", source, into))
    if not registry:
        raise ConfigError("--registry", registry, f"{source} needs the root of its registry")
    return source


def _load(source: str, registry: str, plan: Json) -> keras.Model:
    backbone, size = plan["backbone"], plan["image_size"]
    if backbones.is_file(source) and backbones.is_file(backbone):  # the file of training time may be gone by now
        return backbones.build(source, size)
    if source.startswith("registry:") or source.endswith(SUFFIXES):
        return resolve(source, backbone, size, 0, registry)[0]
    path = Path(source) / "source.json" if Path(source).is_dir() else Path(source)
    return load(artifacts.read_json(path, "weights"), backbone, size)
