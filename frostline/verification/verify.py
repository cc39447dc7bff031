"""Verify a model: check everything that its freeze certificate says, from the model's files alone.

Digests show that something changed, not who changed it. If someone rewrites every file, the first digests included, and
seals a new certificate, only the weights that training started from, or a signature over the files, reveal it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from frostline import artifacts, storage
from frostline.documents.freeze import WEIGHTS_SOURCE, Certificate, Comparison, FreezePlan
from frostline.documents.release import DECISION, MANIFEST_FILE, Verification, VerifyRow
from frostline.errors import ConfigError, FrostlineError, NotFound
from frostline.model import backbones
from frostline.model.weights import SUFFIXES, load, resolve
from frostline.text import one_line
from frostline.verification.certificate_checks import (
    Failed,
    claims_hold,
    description_holds,
    files_hold,
    frozen_at_the_end,
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
from frostline.verification.version_checks import manifest_holds, place, registry_agrees

if TYPE_CHECKING:
    import keras

T = TypeVar("T")
_VERSION_FILES = (MANIFEST_FILE, "saved_model.pb", DECISION.file)  # only a version has them beside the certificate
_LONGEST = 300  # characters of a reason that a library gave


class _NotChecked(Exception):
    """A check needs the result of one that failed."""


@dataclass(frozen=True)
class _Outcome(Generic[T]):
    """The result of a check that passed, or nothing."""

    results: tuple[T, ...] = ()

    @property
    def result(self) -> T:
        """What the check returned; raises if it failed, so that the check that needs it is not made."""
        if not self.results:
            raise _NotChecked
        return self.results[0]


class _Checks:
    """The checks so far, and the tensors that they found changed."""

    def __init__(self) -> None:
        self.rows: list[VerifyRow] = []
        self.changed: set[str] = set()

    def __call__(self, name: str, fact: str, check: Callable[[], T]) -> _Outcome[T]:
        """Make one check, which raises if it fails; `fact` is the reason to report if it passes."""
        try:
            outcome = _Outcome((check(),))
        except _NotChecked:
            self._add(name, False, "not checked: a check before it failed")
        except Failed as error:
            self.changed.update(error.tensors)
            self._add(name, False, str(error))
        except FrostlineError as error:
            self._add(name, False, str(error))
        except Exception as error:  # for a damaged file, zipfile, h5py, TensorFlow and Keras each raise their own
            self._add(name, False, f"{type(error).__name__}: {error}"[:_LONGEST])
        else:
            self._add(name, True, fact)
            return outcome
        return _Outcome()

    def _add(self, name: str, passed: bool, reason: str) -> None:
        self.rows.append({"name": name, "passed": passed, "reason": one_line(reason, 2000)})


def verify(model_dir: str | Path, weights: str | None = None, registry: str = "") -> Verification:
    """Check everything that the certificate of a model says. A file that cannot be read is a check that failed.

    Args:
        model_dir: a directory that train wrote, or that of a version in a registry; local or gs://.
        weights: what training should have started from: a weights artifact (its directory or source.json), a file
            (`.weights.h5`, `.h5` or `.keras`) or a `registry:` reference. None skips that check.
        registry: root of the registry of a `registry:` reference.

    Returns:
        The checks. `moved` lists the frozen tensors that differ before and after a phase, or in an exported file.

    Raises:
        ConfigError: there is nothing at `model_dir` or `weights`.
        StorageError: a bucket cannot be read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        directory = _localize("MODEL_DIR", str(model_dir), Path(scratch) / "model")
        if not directory.is_dir():
            raise ConfigError("MODEL_DIR", str(model_dir), "expected a directory")
        source = None if weights is None else _find_weights(weights, registry, Path(scratch) / "weights")
        return _verify(directory, source, registry, place(str(model_dir)))


def _verify(directory: Path, source: str | None, registry: str, version: tuple[str, str, int] | None) -> Verification:
    checks = _Checks()
    certificate = checks("certificate", "sealed, every byte as it was written", lambda: read_certificate(directory))
    plan = checks("plan", "the one that was certified", lambda: read_plan(directory, certificate.result))
    computed = _check_digests(checks, certificate, plan)
    _check_model(checks, directory, certificate, plan)
    if source is not None:
        checks(
            "source_weights",
            "training started from them",
            lambda: source_weights_hold(certificate.result, _load(source, registry, plan.result)),
        )
    if version is not None or any((directory / name).exists() for name in _VERSION_FILES):
        _check_version(checks, directory, version)
    found = computed.results[0] if computed.results else None
    return {
        "schema": artifacts.schema("verification"),
        "verified": all(row["passed"] for row in checks.rows),
        "frozen_tensors": found["frozen_tensors"] if found else 0,
        "moved": sorted({*found["moved"], *frozen_at_the_end(plan.result, checks.changed)}) if found else [],
        "unmoved_trainable": found["unmoved_trainable"] if found else [],
        "checks": checks.rows,
    }


def _check_digests(
    checks: _Checks, certificate: _Outcome[Certificate], plan: _Outcome[FreezePlan]
) -> _Outcome[Comparison]:
    """The digests in the certificate against the plan, and against what the certificate says about them."""
    computed = checks(
        "tensors",
        "each has a digest before and after every phase",
        lambda: recompute(plan.result, certificate.result),
    )
    checks("frozen", "no frozen tensor changed in any phase", lambda: nothing_frozen_changed(computed.result))
    checks(
        "claims",
        "what the certificate says follows from its digests",
        lambda: claims_hold(certificate.result, computed.result),
    )
    checks(
        "source",
        "its digest is that of all first digests",
        lambda: source_holds(certificate.result, computed.result),
    )
    return computed


def _check_model(
    checks: _Checks, directory: Path, certificate: _Outcome[Certificate], plan: _Outcome[FreezePlan]
) -> None:
    """The files of the model against the certificate."""
    certified = checks(
        "files", "all certified files, unchanged, and no other", lambda: files_hold(directory, certificate.result)
    )
    # Files that are not as certified are not opened: a damaged file can do worse to a reader than make it raise.
    model = checks("model", "model.keras loads in safe mode", lambda: load_model(certified.result))
    checks("policy", "gives this plan for the model's own graph", lambda: policy_holds(plan.result, model.result))
    checks(
        "keras_weights",
        "model.keras holds the certified values",
        lambda: keras_weights_hold(plan.result, certificate.result, model.result),
    )
    checks(
        "serving_weights",
        "the SavedModel holds them too",
        lambda: serving_weights_hold(directory, certificate.result, model.result),
    )
    checks(
        "description",
        "model.json is about this model",
        lambda: description_holds(directory, plan.result, certificate.result, model.result),
    )


def _check_version(checks: _Checks, directory: Path, version: tuple[str, str, int] | None) -> None:
    """All published files against the manifest, and the manifest against the registry, if it is in one."""
    manifest = checks(
        "manifest",
        "every published file is as it was written, and there is no other",
        lambda: manifest_holds(directory),
    )
    if version is not None:
        checks(
            "registry",
            "it is the version that was claimed, proven and promoted",
            lambda: registry_agrees(version, directory, manifest.result),
        )


def _localize(field: str, uri: str, into: Path) -> Path:
    try:
        return storage.localize(uri, into)
    except NotFound:
        raise ConfigError(field, uri, "there is nothing at this address") from None


def _find_weights(source: str, registry: str, into: Path) -> str:
    """The weights' path on this machine; a registry reference unchanged."""
    if not source.startswith("registry:"):
        return str(_localize("--weights", source, into))
    if not registry:
        raise ConfigError("--registry", registry, f"{source} needs the root of its registry")
    return source


def _load(source: str, registry: str, plan: FreezePlan) -> keras.Model:
    backbone, size = plan["backbone"], plan["image_size"]
    if backbones.is_file(source) and backbones.is_file(backbone):  # training's own file may not exist any more
        return backbones.build(source, size)
    if source.startswith("registry:") or source.endswith(SUFFIXES):
        return resolve(source, backbone, size, 0, registry)[0]
    path = Path(source)
    return load(WEIGHTS_SOURCE.read(path) if path.is_dir() else WEIGHTS_SOURCE.read_file(path), backbone, size)
