"""What `frostline gate` does: the promotion gate for a release process, on what a run or a version has written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from frostline import storage
from frostline.artifacts import Json
from frostline.config import load
from frostline.errors import ConfigError, NotFound
from frostline.gating.config import GateConfig
from frostline.gating.decision import Look, decide, evidence
from frostline.gating.result import Result
from frostline.section import parse
from frostline.text import one_line
from frostline.verification import version_checks
from frostline.verification.certificate_checks import Failed

# Each kind of evidence: below a run's artifacts/*/, in a version's directory, and its schema.
_EVIDENCE = {
    "evaluation": ("evaluate/evaluation/evaluation.json", "evaluation.json", "evaluation"),
    "certificate": ("train/model/freeze_certificate.json", "freeze_certificate.json", "freeze_certificate"),
    "validation": ("validate/info/report.json", "validation.json", "validation"),
}
_DECISION = ("gate/decision/decision.json", "decision.json")


def run(directory: str, config: Path | None) -> Json:
    """Decide again, from files alone; nothing is written.

    Args:
        directory: of a run, or of a version in a registry; local or gs://.
        config: a run's YAML file, whose `gate` section counts; None for what was asked for when the gate decided there.

    Returns:
        The decision, as `frostline.gating.decision.decide` gives it; of a version also whether it is as it was
        published, and still may replace the one that serves. What is missing holds.

    Raises:
        ConfigError: there is no such directory, or it is neither a run's nor a version's, or the section is wrong.
        StorageError: a bucket cannot be read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        root = _localize(directory, Path(scratch))
        of_run = (root / "artifacts").is_dir()
        if not of_run and not any((root / place).exists() for _, place, _ in _EVIDENCE.values()):
            raise ConfigError("RUN_DIR", directory, "expected the directory of a run, or of a version in a registry")
        found = {kind: _find(root, *places, of_run=of_run) for kind, (*places, _) in _EVIDENCE.items()}
        documents = {kind: evidence(found[kind], schema) for kind, (*_, schema) in _EVIDENCE.items()}
        asked = load(config).gate if config else _asked(_find(root, *_DECISION, of_run=of_run))
        section = asked if isinstance(asked, GateConfig) else GateConfig()
        place = {} if of_run else _of_a_version(root, version_checks.place(directory))
        if isinstance(asked, str):
            place["configuration"] = lambda: Result("fail", asked)
        return decide(documents["evaluation"], documents["certificate"], documents["validation"], section, place)


def _of_a_version(root: Path, where: tuple[str, str, int] | None) -> dict[str, Look]:
    """A version is whole, and in its registry the champion is still the one that it was compared with."""

    def published() -> Result:
        manifest = version_checks.manifest_holds(root)
        if where is not None:
            version_checks.registry_agrees(where, root, manifest)
        return Result("pass", "every published file is as it was written")

    if where is None:
        return {"published": _answered(published)}
    return {
        "published": _answered(published),
        "registry": _answered(lambda: Result("pass", version_checks.may_serve(where, root))),
    }


def _answered(look: Look) -> Look:
    def answer() -> Result:
        try:
            return look()
        except Failed as error:
            return Result("fail", str(error))

    return answer


def _localize(directory: str, scratch: Path) -> Path:
    try:
        path = storage.localize(directory, scratch / "found")
    except NotFound:
        raise ConfigError("RUN_DIR", directory, "there is nothing at this address") from None
    if not path.is_dir():
        raise ConfigError("RUN_DIR", directory, "expected a directory")
    return path


def _find(root: Path, in_run: str, in_version: str, *, of_run: bool) -> Path:
    """Where a file is, or should be: more than one in a run's directory is none."""
    if not of_run:
        return root / in_version
    found = sorted(root.glob(f"artifacts/*/{in_run}"))
    return found[0] if len(found) == 1 else root / "artifacts" / f"({len(found)} found)" / in_run


def _asked(decision: Path) -> GateConfig | str:
    """What the gate was told when it decided there, whole; or in one line why that is not known."""
    document = evidence(decision, "decision")
    config = document.get("config") if isinstance(document, dict) else None
    missing = GateConfig.model_fields.keys() - (config.keys() if isinstance(config, dict) else ())
    if isinstance(document, dict) and not missing:
        try:
            return parse(GateConfig, config, field="gate")
        except ConfigError as error:
            document = f"{decision}: {error}"
    told = (
        document if isinstance(document, str) else f"{decision}: its configuration lacks {', '.join(sorted(missing))}"
    )
    return one_line(f"what the gate was configured with is not known: {told}; pass --config", 500)
