"""Check a freeze certificate again, from a model's files alone.

Digests show that something changed, not who changed it. If someone rewrites every file, the first digests included, and
seals a new certificate, only the weights that training started from, or a version's signature, can reveal it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from frostline import artifacts, storage
from frostline.documents.freeze import WEIGHTS_SOURCE, Certificate, Comparison, FreezePlan
from frostline.documents.release import DECISION, MANIFEST_FILE, Verification, VerifyRow
from frostline.errors import ConfigError, FrostlineError, NotFound, RegistryError
from frostline.model import backbones
from frostline.model.weights import SUFFIXES, load, resolve
from frostline.text import one_line
from frostline.verification import version_checks
from frostline.verification.certificate_checks import (
    SAVED_MODEL_FILE,
    Failed,
    claims_hold,
    description_holds,
    files_hold,
    frozen_at_the_end,
    graph_holds,
    keras_weights_hold,
    load_model,
    nothing_frozen_changed,
    policy_holds,
    read_certificate,
    read_plan,
    recompute,
    serving_weights_hold,
    source_holds,
    source_weights_hold,
)
from frostline.verification.export_checks import export_holds, operations_hold

if TYPE_CHECKING:
    import keras

T = TypeVar("T")
_ONLY_IN_A_VERSION = (MANIFEST_FILE, SAVED_MODEL_FILE, DECISION.file)
_LONGEST = 300  # characters of an error of a library


class _Skipped(Exception):
    """A check needs the result of one that failed."""


@dataclass(frozen=True)
class _Checked(Generic[T]):
    """A check; `results` has its result, or nothing if it failed."""

    results: tuple[T, ...]

    @property
    def value(self) -> T:
        """The result; raises _Skipped if the check failed."""
        if not self.results:
            raise _Skipped
        return self.results[0]


class _Checks:
    """The checks so far, and the tensors that they found changed."""

    def __init__(self) -> None:
        self.rows: list[VerifyRow] = []
        self.changed: set[str] = set()

    def __call__(self, name: str, meaning: str, check: Callable[[], T]) -> _Checked[T]:
        """Run a check and record it; `meaning` is the reason in its row if it passes."""
        try:
            result = check()
        except _Skipped:
            self._add(name, False, "not checked: a check before it failed")
            return _Checked(())
        except Exception as error:  # zipfile, h5py, TensorFlow and Keras raise different errors for a damaged file
            self.changed.update(error.tensors if isinstance(error, Failed) else ())
            known = isinstance(error, Failed | FrostlineError)
            self._add(name, False, str(error) if known else f"{type(error).__name__}: {error}"[:_LONGEST])
            return _Checked(())
        self._add(name, True, meaning)
        return _Checked((result,))

    def _add(self, name: str, passed: bool, reason: str) -> None:
        self.rows.append({"name": name, "passed": passed, "reason": one_line(reason, 2000)})


def verify(
    model_dir: str | Path, weights: str | None = None, registry: str = "", public_key: bytes | None = None
) -> Verification:
    """Check every statement of a model's certificate. A file that cannot be read is a failed check.

    Args:
        model_dir: directory that train wrote, or of a version in a registry; local or gs://.
        weights: what training should have started from: a weights artifact (its directory or source.json), a file
            (`.weights.h5`, `.h5` or `.keras`) or a `registry:` reference. None skips that check, and the one that
            the SavedModel is an export of model.keras.
        registry: root of the registry for a `registry:` reference.
        public_key: PEM, with which the version's signature must verify, and that of the version that `weights` names.
            None accepts a version without a signature.

    Returns:
        The outcome of every check; `moved` has the frozen tensors that differ before and after a phase, or in an
        exported file.

    Raises:
        ConfigError: there is nothing at `model_dir` or `weights`.
        StorageError: a bucket cannot be read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        directory = _localize("MODEL_DIR", str(model_dir), Path(scratch) / "model")
        if not directory.is_dir():
            raise ConfigError("MODEL_DIR", str(model_dir), "expected a directory")
        source = None if weights is None else _localize_weights(weights, registry, Path(scratch) / "weights")
        checks = _Checks()
        certificate, plan, recomputed = _check_certificate(checks, directory)
        model, graph = _check_files(checks, directory, certificate, plan)
        if source is not None:
            _check_source(checks, certificate, plan, lambda plan: _load(source, registry, plan, public_key))
            checks(
                "export",
                "the SavedModel computes the same as a new export of model.keras",
                lambda: export_holds(directory, graph.value, model.value),
            )
        _check_version(checks, directory, version_checks.place(str(model_dir)), public_key)
    return _verification(checks, plan, recomputed)


def require_verified(
    model_dir: str | Path,
    what: str,
    public_key: bytes | None = None,
    consequence: str = "so it cannot become the champion",
) -> None:
    """Raise RegistryError with the first check that fails, as `verify` runs them; `what` names the model."""
    failed = [check for check in verify(model_dir, public_key=public_key)["checks"] if not check["passed"]]
    if failed:
        reason = f"{failed[0]['name']}: {failed[0]['reason']}"
        raise RegistryError(f"{what} does not verify, {consequence}; {reason}")


def _check_certificate(
    checks: _Checks, directory: Path
) -> tuple[_Checked[Certificate], _Checked[FreezePlan], _Checked[Comparison]]:
    """The certificate and the plan, and whether they agree."""
    certificate = checks(
        "certificate", "the seal matches, and the file is unchanged", lambda: read_certificate(directory)
    )
    plan = checks("plan", "it is the certified plan", lambda: read_plan(directory, certificate.value))
    recomputed = checks(
        "tensors",
        "each has a digest before the first phase and after each phase",
        lambda: recompute(plan.value, certificate.value),
    )
    checks("frozen", "no frozen tensor changed in any phase", lambda: nothing_frozen_changed(recomputed.value))
    checks(
        "claims",
        "the certificate's statements follow from its digests",
        lambda: claims_hold(certificate.value, recomputed.value),
    )
    checks(
        "source",
        "the first digests match the source's digest",
        lambda: source_holds(certificate.value, recomputed.value),
    )
    return certificate, plan, recomputed


def _check_files(
    checks: _Checks, directory: Path, certificate: _Checked[Certificate], plan: _Checked[FreezePlan]
) -> tuple[_Checked[keras.Model], _Checked[Any]]:
    """The model's files against the certificate; returns model.keras, loaded, and the graph of the SavedModel."""
    unchanged = checks(
        "files",
        "all certified files are there and unchanged, and there is no other",
        lambda: files_hold(directory, certificate.value),
    )
    # A file that is not as certified is not opened: loading a damaged file can do more harm than raise an error.
    model = checks("model", "model.keras loads in safe mode", lambda: load_model(unchanged.value))
    checks("graph", "its backbone has the resolved graph", lambda: graph_holds(certificate.value, model.value))
    checks("policy", "the plan follows from it and the model's layers", lambda: policy_holds(plan.value, model.value))
    checks(
        "keras_weights",
        "model.keras has the certified values",
        lambda: keras_weights_hold(plan.value, certificate.value, model.value),
    )
    checks(
        "serving_weights",
        "the SavedModel has the certified values",
        lambda: serving_weights_hold(directory, certificate.value, model.value),
    )
    graph = checks(
        "operations",
        "the SavedModel has no operations but those that exports need",
        lambda: operations_hold(unchanged.value),
    )
    checks(
        "description",
        "model.json describes this model",
        lambda: description_holds(directory, plan.value, certificate.value, model.value),
    )
    return model, graph


def _check_source(
    checks: _Checks,
    certificate: _Checked[Certificate],
    plan: _Checked[FreezePlan],
    load_source: Callable[[FreezePlan], keras.Model],
) -> None:
    """The weights that training should have started from against the certificate's first digests."""
    checks(
        "source_weights",
        "training started from them",
        lambda: source_weights_hold(certificate.value, load_source(plan.value)),
    )


def _check_version(
    checks: _Checks, directory: Path, place: version_checks.Place | None, public_key: bytes | None
) -> None:
    """Every published file against the version's manifest, the manifest against its registry, and the signature."""
    if public_key is None and place is None and not any((directory / name).exists() for name in _ONLY_IN_A_VERSION):
        return
    manifest = checks(
        "manifest",
        "all published files are there and unchanged, and there is no other",
        lambda: version_checks.manifest_holds(directory),
    )
    checks(
        "signature",
        version_checks.signature_words(directory, public_key),
        lambda: version_checks.signature_holds(directory, manifest.value, public_key),
    )
    if place is not None:
        checks(
            "registry",
            "it is the version that was claimed, proven and promoted",
            lambda: version_checks.registry_agrees(place, directory, manifest.value),
        )


def _verification(checks: _Checks, plan: _Checked[FreezePlan], recomputed: _Checked[Comparison]) -> Verification:
    outcome: Verification = {
        "schema": artifacts.schema("verification"),
        "verified": all(row["passed"] for row in checks.rows),
        "frozen_tensors": 0,
        "moved": [],
        "unmoved_trainable": [],
        "checks": checks.rows,
    }
    if recomputed.results:
        comparison, changed = recomputed.value, frozen_at_the_end(plan.value, checks.changed)
        outcome["frozen_tensors"] = comparison["frozen_tensors"]
        outcome["moved"] = sorted({*comparison["moved"], *changed})
        outcome["unmoved_trainable"] = comparison["unmoved_trainable"]
    return outcome


def _localize(field: str, uri: str, into: Path) -> Path:
    try:
        return storage.localize(uri, into)
    except NotFound:
        raise ConfigError(field, uri, "there is nothing at this address") from None


def _localize_weights(source: str, registry: str, into: Path) -> str:
    """The path of the weights on this machine; a registry reference is returned as it is."""
    if not source.startswith("registry:"):
        return str(_localize("--weights", source, into))
    if not registry:
        raise ConfigError("--registry", registry, f"{source} needs the root of its registry")
    return source


def _load(source: str, registry: str, plan: FreezePlan, public_key: bytes | None) -> keras.Model:
    backbone, size = plan["backbone"], plan["image_size"]
    if backbones.is_file(source) and backbones.is_file(backbone):  # the backbone's file may no longer exist
        return backbones.build(source, size)
    if source.startswith("registry:") or source.endswith(SUFFIXES):
        return resolve(source, backbone, size, 0, registry, public_key)[0]
    path = Path(source) / WEIGHTS_SOURCE.file if Path(source).is_dir() else Path(source)
    return load(WEIGHTS_SOURCE.read_file(path))
