"""The `frostline gate` command: the promotion gate for a release process, on the files of a run or a version."""

from __future__ import annotations

import tempfile
from pathlib import Path

from frostline import storage
from frostline.config import load as load_config
from frostline.documents.data import VALIDATION
from frostline.documents.evaluation import EVALUATION
from frostline.documents.freeze import CERTIFICATE
from frostline.documents.release import DECISION, PUBLISHED_VALIDATION, Decision
from frostline.errors import ConfigError, NotFound
from frostline.gating.config import GateConfig
from frostline.gating.decision import Check, decide, load
from frostline.gating.result import Result
from frostline.registry.keys import optional_public_key
from frostline.section import parse
from frostline.text import one_line
from frostline.verification import version_checks
from frostline.verification.certificate_checks import Failed
from pipelines.options import PUBLIC_KEY

# Each document of the evidence: its place in a run's artifacts/*/, its file in a version, and its kind.
_EVIDENCE = {
    "evaluation": (f"evaluate/evaluation/{EVALUATION.file}", EVALUATION.file, EVALUATION.kind),
    "certificate": (f"train/model/{CERTIFICATE.file}", CERTIFICATE.file, CERTIFICATE.kind),
    "validation": (f"validate/info/{VALIDATION.file}", PUBLISHED_VALIDATION.file, VALIDATION.kind),
}
_DECISION = (f"gate/decision/{DECISION.file}", DECISION.file)


def run(directory: str, config: Path | None, public_key: str = "") -> Decision:
    """Decide again, from files alone; nothing is written.

    Args:
        directory: of a run, or of a version in a registry; local or gs://.
        config: a run's YAML file, of which the `gate` section is used; None for the configuration of the earlier
            decision.
        public_key: path of the public key that the version's signature must verify with; empty: none is demanded.

    Returns:
        The decision of `frostline.gating.decision.decide`. For a version it also checks that the files are unchanged
        and that the version can still replace the one in production. If evidence is missing, the verdict is `hold`.

    Raises:
        ConfigError: the directory does not exist, or is not that of a run or a version, or the section is wrong; or
            the key cannot be used, or is given for a run.
        StorageError: a bucket cannot be read.
    """
    key = optional_public_key(public_key, PUBLIC_KEY)
    with tempfile.TemporaryDirectory() as scratch:
        root = _localize(directory, Path(scratch))
        is_run = (root / "artifacts").is_dir()
        if not is_run and not any((root / file).exists() for _, file, _ in _EVIDENCE.values()):
            raise ConfigError("RUN_DIR", directory, "expected the directory of a run, or of a version in a registry")
        if is_run and key is not None:
            raise ConfigError(PUBLIC_KEY, public_key, "a run is not signed; give the directory of its version")
        evidence = {
            name: load(_find(root, in_run, in_version, is_run=is_run), kind)
            for name, (in_run, in_version, kind) in _EVIDENCE.items()
        }
        section = load_config(config).gate if config else _earlier_config(_find(root, *_DECISION, is_run=is_run))
        further: dict[str, Check] = {} if is_run else _version_checks(root, version_checks.place(directory), key)
        if isinstance(section, str):
            unknown = Result("fail", section)
            further["configuration"] = lambda: unknown
        gate = section if isinstance(section, GateConfig) else GateConfig()
        return decide(evidence["evaluation"], evidence["certificate"], evidence["validation"], gate, further)


def _version_checks(root: Path, place: tuple[str, str, int] | None, key: bytes | None) -> dict[str, Check]:
    """The version is unchanged and, if that is demanded, signed; and the champion is the one it was compared with."""

    def published() -> Result:
        manifest = version_checks.manifest_holds(root)
        if place is not None:
            version_checks.registry_agrees(place, root, manifest)
        version_checks.signature_holds(root, manifest, key)
        signature = version_checks.signature_words(root, key)
        return Result("pass", f"every published file is unchanged; signature: {signature}")

    if place is None:
        return {"published": _failing(published)}
    return {
        "published": _failing(published),
        "registry": _failing(lambda: Result("pass", version_checks.may_serve(place, root))),
    }


def _failing(check: Check) -> Check:
    """The check, with Failed as its result."""

    def checked() -> Result:
        try:
            return check()
        except Failed as error:
            return Result("fail", str(error))

    return checked


def _localize(directory: str, scratch: Path) -> Path:
    try:
        path = storage.localize(directory, scratch / "found")
    except NotFound:
        raise ConfigError("RUN_DIR", directory, "there is nothing at this address") from None
    if not path.is_dir():
        raise ConfigError("RUN_DIR", directory, "expected a directory")
    return path


def _find(root: Path, in_run: str, in_version: str, *, is_run: bool) -> Path:
    """Where a file is, or should be; several candidates in a run's directory count as none."""
    if not is_run:
        return root / in_version
    found = sorted(root.glob(f"artifacts/*/{in_run}"))
    return found[0] if len(found) == 1 else root / "artifacts" / f"({len(found)} found)" / in_run


def _earlier_config(decision: Path) -> GateConfig | str:
    """The complete configuration of the earlier decision, or in one line why it is not known."""
    document = load(decision, DECISION.kind)
    if isinstance(document, str):
        return _unknown_config(document)
    config = document.get("config")
    if isinstance(config, dict) and "drift_margin" not in config:  # made before there was a reference to compare with
        config = {**config, "drift_margin": 0.0}
    missing = GateConfig.model_fields.keys() - (config.keys() if isinstance(config, dict) else ())
    if missing:
        return _unknown_config(f"{decision}: its configuration lacks {', '.join(sorted(missing))}")
    try:
        return parse(GateConfig, config, field="gate")
    except ConfigError as error:
        return _unknown_config(f"{decision}: {error}")


def _unknown_config(reason: str) -> str:
    return one_line(f"the gate's earlier configuration is not known: {reason}; pass --config", 500)
