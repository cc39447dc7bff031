"""push: a promoted model becomes an immutable version, then the champion, if the champion is still the one it beat."""

from __future__ import annotations

import tempfile
from pathlib import Path

from frostline import artifacts, storage
from frostline.artifacts import Json
from frostline.errors import ChampionChanged, RegistryError
from frostline.events import say, step
from frostline.registry import Alias, Version, champion, promote, publish, resolve

_MODEL_FILES = (
    "model.keras",
    "freeze_plan.json",
    "freeze_certificate.json",
    "training.jsonl",
    "training.json",
    "model.json",
)
_DESCRIBED = ("labels", "image_size", "backbone", "policy", "parameters", "frozen_parameters")


@step("push")
def run(
    model_dir: str, evaluation_dir: str, decision_dir: str, model_name: str, registry: str, published_dir: str
) -> str:
    """Publish the model and move the alias; a repeated push finds its own version and changes nothing.

    Args:
        model_dir: what train emitted.
        evaluation_dir: directory of evaluation.json, which names the champion that the model was compared with.
        decision_dir: directory of decision.json and decision.md.
        model_name: name of the model in the registry.
        registry: root of the registry, a directory or gs://.
        published_dir: directory to create, with version.json.

    Returns:
        The outcome in one line: `pushed: ...`, or `held: ...` if another model became the champion meanwhile.

    Raises:
        RegistryError: the decision is not to promote, or is about another model.
        NotFound: a file of the model is missing.
        StorageError: the registry cannot be written.
    """
    model, evaluation, decision = Path(model_dir), Path(evaluation_dir), Path(decision_dir)
    description = artifacts.read_json(model / "model.json", "model")
    measured = artifacts.read_json(evaluation / "evaluation.json", "evaluation")
    decided = artifacts.read_json(decision / "decision.json", "decision")
    _refuse_unless_promoted(description, measured, decided)
    published = Path(published_dir)
    published.mkdir(parents=True, exist_ok=True)
    identity = description["model_digest"]
    version = _serving(registry, model_name)
    if version is not None and version.manifest["identity"] == identity:
        outcome = f"pushed: {model_name} version {version.number} already serves this model"
    else:
        with tempfile.TemporaryDirectory(dir=published) as temporary:
            directory = Path(temporary)
            _assemble(model, evaluation, decision, directory)
            metadata = {name: description.get(name) for name in _DESCRIBED} | {"accuracy": measured["accuracy"]}
            version = publish(registry, model_name, directory, identity=identity, metadata=metadata)
        outcome = _promote(registry, version, measured["champion"], decided["reason"])
    record = {
        "model": model_name,
        "version": version.number,
        "uri": version.uri,
        "manifest_digest": version.manifest_digest,
        "outcome": outcome,
    }
    artifacts.write_json(published / "version.json", "published", record)
    say(outcome)
    return outcome


def _refuse_unless_promoted(model: Json, evaluation: Json, decision: Json) -> None:
    if decision.get("verdict") != "promote":
        raise RegistryError(
            f"decision.json: received the verdict {decision.get('verdict')!r}; only 'promote' is pushed"
        )
    received = {
        "model.json": model.get("model_digest"),
        "evaluation.json": evaluation.get("model_digest"),
        "decision.json": decision.get("model_digest"),
    }
    if len(set(received.values())) != 1 or not received["model.json"]:
        raise RegistryError(f"model_digest: expected one model in all three files; received {received}")


def _assemble(model: Path, evaluation: Path, decision: Path, directory: Path) -> None:
    storage.upload_directory(model / "serving", str(directory))
    others = [model / name for name in _MODEL_FILES]
    others += [evaluation / "evaluation.json", decision / "decision.json", decision / "decision.md"]
    for path in others:
        storage.upload_file(path, storage.join(str(directory), path.name), if_generation=storage.ABSENT)


def _serving(registry: str, model_name: str) -> Version | None:
    return None if champion(registry, model_name) is None else resolve(registry, f"registry:{model_name}@champion")


def _promote(registry: str, version: Version, compared: Json | None, reason: str) -> str:
    expected = None
    if compared is not None:
        expected = Alias(compared["version"], compared["manifest_digest"], compared["generation"])
    try:
        promote(registry, version, expected=expected, reason=reason)
    except ChampionChanged as error:
        return f"held: {error}"
    return f"pushed: {version.model} version {version.number} is the champion"
