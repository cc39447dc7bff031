"""push: a promoted model becomes an immutable version, proves that it serves, and becomes the champion or a candidate.

The alias moves only if the champion still is the one that the model was compared with.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path

from frostline import artifacts, digests, storage
from frostline import registry as versions
from frostline.artifacts import Json
from frostline.errors import ChampionChanged, DataError, NotFound, RegistryError, StorageError
from frostline.events import say, step
from frostline.registry import Alias, Promotion, Version, inference_service
from frostline.reporting import model_card

_MODEL_FILES = (
    "model.keras",
    "freeze_plan.json",
    "freeze_certificate.json",
    "training.jsonl",
    "training.json",
    "model.json",
    "images.parquet",
)
_EVALUATION_FILES = ("evaluation.json", "golden.parquet")
_DECISION_FILES = ("decision.json", "decision.md", "validation.json")
_PIECE = 2**20  # bytes that are copied at a time
_DESCRIBED = ("labels", "image_size", "backbone", "policy", "parameters", "frozen_parameters")


@step("push")
def run(*, model: str, evaluation: str, decision: str, model_name: str, registry: str, published: str) -> str:
    """Publish the model, prove it and move the alias; a repeated push finds its own version and changes nothing.

    Args:
        model: what train emitted.
        evaluation: directory of evaluation.json, which names the champion that the model was compared with, and of
            golden.parquet.
        decision: directory of decision.json, which says whether a person has to approve, and decision.md.
        model_name: name of the model in the registry.
        registry: the registry, a directory or gs://.
        published: directory to create, with version.json and inference_service.yaml.

    Returns:
        The outcome in one line: `pushed: ...`, `candidate: ...` if a person has to approve, or `held: ...` if another
        model became the champion meanwhile, or a person rolled this one back.

    Raises:
        RegistryError: the decision is not to promote, or is about another model; or the stored version does not prove
            itself, and is marked so that nothing promotes it.
        NotFound: a file of the model is missing.
        StorageError: the registry cannot be read or written.
    """
    model_dir, evaluation_dir, decision_dir = Path(model), Path(evaluation), Path(decision)
    description = artifacts.read_json(model_dir / "model.json", "model")
    measured = artifacts.read_json(evaluation_dir / "evaluation.json", "evaluation")
    decided = artifacts.read_json(decision_dir / "decision.json", "decision")
    _refuse_unless_promoted(description, measured, decided)
    out = Path(published)
    out.mkdir(parents=True, exist_ok=True)
    identity = description["model_digest"]
    version = _serving(registry, model_name)
    if version is not None and version.manifest["identity"] == identity:
        versions.record(registry, model_name)  # in case the push that made it so died before it could
        outcome = f"pushed: {model_name} version {version.number} already serves this model"
    else:
        with tempfile.TemporaryDirectory(dir=out) as temporary:
            directory = Path(temporary) / "version"
            _assemble(model_dir, evaluation_dir, decision_dir, directory)
            metadata = _metadata(description, measured)
            version = versions.publish(registry, model_name, directory, identity=identity, metadata=metadata)
            _prove(registry, version, Path(temporary) / "stored")
        outcome = _promote(registry, version, measured, decided)
    _write(out, version, outcome)
    say(outcome)
    return outcome


def _refuse_unless_promoted(model: Json, evaluation: Json, decision: Json) -> None:
    if decision.get("verdict") != "promote":
        raise RegistryError(
            f"decision.json: received the verdict {decision.get('verdict')!r}; only 'promote' is pushed"
        )
    if decision.get("approval") not in ("none", "required"):
        received = decision.get("approval")
        raise RegistryError(f"decision.json: received approval {received!r}; expected 'none' or 'required'")
    received = {
        "model.json": model.get("model_digest"),
        "evaluation.json": evaluation.get("model_digest"),
        "decision.json": decision.get("model_digest"),
    }
    if len(set(received.values())) != 1 or not received["model.json"]:
        raise RegistryError(f"model_digest: expected one model in all three files; received {received}")
    if decision.get("evaluation_digest") != digests.of_json(evaluation):
        raise RegistryError("decision.json: was decided on another evaluation.json; run the gate again")


def _assemble(model: Path, evaluation: Path, decision: Path, directory: Path) -> None:
    """What is published, a pure function of the three directories: a repeated push has the same content."""
    serving = model / "serving"
    served = [Path(item.uri) for item in storage.list_files(str(serving))]
    if not served:
        raise NotFound(f"{serving}: there is no such directory")
    for path in served:
        _copy(path, directory / path.relative_to(serving))
    sources = ((model, _MODEL_FILES), (evaluation, _EVALUATION_FILES), (decision, _DECISION_FILES))
    for path in (source / name for source, names in sources for name in names):
        _copy(path, directory / path.name)
    model_card.write(directory, model, evaluation, decision)


def _copy(source: Path, target: Path) -> None:
    """Not a link: a version must stay as it is, whatever becomes of the run's files."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as file, target.open("xb") as copy:
            shutil.copyfileobj(file, copy, _PIECE)
    except FileNotFoundError:
        raise NotFound(f"{source}: there is no such file") from None
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror or error}") from error


def _metadata(description: Json, measured: Json) -> Json:
    test_split = (measured.get("test_split") or {}).get("digest")
    described = {name: description.get(name) for name in _DESCRIBED}
    return {**described, "accuracy": measured["accuracy"], "test_split": test_split}


def _serving(root: str, model_name: str) -> Version | None:
    if versions.champion(root, model_name) is None:
        return None
    return versions.look_up(root, f"registry:{model_name}@champion")


def _prove(root: str, version: Version, into: Path) -> None:
    """Load what is stored, as a server does; a version that does not serve as measured is marked for good.

    A registry that cannot be read says nothing about the version: that is a StorageError, and the push is repeated.
    """

    from frostline.evaluation import golden

    try:
        golden.require_reproduced(versions.download(version, into))
    except (RegistryError, DataError) as error:
        versions.reject(root, version, reason=str(error))
        raise RegistryError(
            f"{version.model} version {version.number} is stored, but does not serve: {error}"
        ) from error


def _promote(root: str, version: Version, measured: Json, decided: Json) -> str:
    name, number, expected = version.model, version.number, None
    compared, split = measured["champion"], (measured.get("test_split") or {}).get("digest")
    left = _rolled_back(root, version)
    if left is not None:  # a person's word stands, however often a scheduled run makes this model again
        command = f"frostline registry rollback {shlex.quote(root)} {name} --to {number} --approver NAME --reason TEXT"
        return f"held: {name} version {number} was rolled back by {left.approver}; to let it serve again: {command}"
    if compared is not None:
        expected = Alias(compared["version"], compared["manifest_digest"], compared["promotion"])
    try:
        if decided["approval"] == "required":
            versions.nominate(root, version, compared_with=expected, test_split=split)
            command = f"frostline registry promote {shlex.quote(root)} {name} {number} --approver NAME --reason TEXT"
            return f"candidate: {name} version {number} waits for approval; {command}"
        versions.promote(root, version, expected=expected, reason=decided["reason"], test_split=split)
    except ChampionChanged as error:
        return f"held: {error}"
    return f"pushed: {name} version {number} is the champion"


def _rolled_back(root: str, version: Version) -> Promotion | None:
    """The rollback that made another version serve instead of this one, if that was the last word on it."""
    about = [
        one
        for one in versions.history(root, version.model)
        if one.version == version.number or (one.kind == "rollback" and one.previous_version == version.number)
    ]
    return about[-1] if about and about[-1].version != version.number else None


def _write(published: Path, version: Version, outcome: str) -> None:
    manifest = inference_service.manifest(version, outcome)
    artifacts.write_file(published / "inference_service.yaml", manifest.encode())
    record = {
        "model": version.model,
        "version": version.number,
        "uri": version.uri,
        "manifest_digest": version.manifest_digest,
        "outcome": outcome,
    }
    artifacts.write_json(published / "version.json", "published", record)
