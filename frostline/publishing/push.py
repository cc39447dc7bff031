"""push: publish a promoted model as an immutable version, check that it serves, and make it champion or candidate.

The alias moves only if the champion is still the one that the model was compared with.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from pathlib import Path

from frostline import artifacts, digests, quiet, storage
from frostline import registry as versions
from frostline.documents.evaluation import EVALUATION, EVALUATION_FILES, Evaluation
from frostline.documents.release import DECISION, DECISION_FILES, PUBLISHED, SERVICE_FILE, Decision, VersionMetadata
from frostline.documents.training import MODEL, MODEL_FILES, SERVING_DIRECTORY, ModelDescription
from frostline.errors import ChampionChanged, DataError, NotFound, NotSigned, RegistryError, StorageError
from frostline.events import IN_A_POD, say
from frostline.files import open_regular
from frostline.publishing import signing
from frostline.registry import Alias, Promotion, Version, inference_service, keys
from frostline.registry.seals import check
from frostline.registry.signatures import command as sign_command
from frostline.reporting import model_card

_PIECE = 2**20  # bytes that are copied at a time


def run(
    *,
    model: str,
    evaluation: str,
    decision: str,
    model_name: str,
    registry: str,
    published: str,
    key: str = "",
    public_key: str = "",
) -> str:
    """Publish the model, prove it and move the alias; a repeated push finds its own version and changes nothing.

    Args:
        model: what train wrote.
        evaluation: directory with evaluation.json, which names the champion that the model was compared with, and
            golden.parquet.
        decision: directory with decision.json, which says whether approval is required, and decision.md.
        model_name: name of the model in the registry.
        registry: the registry, a directory or gs://.
        published: directory to create, with version.json and inference_service.yaml.
        key: path of the private key that signs the version; empty: it is not signed.
        public_key: path of the public key that the version's signature must verify with before it becomes the champion;
            empty: none is demanded.

    Returns:
        The outcome in one line: `pushed: ...`, `candidate: ...` if approval is required, or `held: ...` if the champion
        changed in the meantime, or if a person rolled this model back.

    Raises:
        ConfigError: a key cannot be used; nothing has been published.
        RegistryError: the decision is not to promote, or is about another model; the model does not verify; the stored
            version fails its proof and is marked so that it is never promoted; or it has no signature, which is
            demanded.
        NotFound: a file of the model is missing.
        StorageError: the registry cannot be read or written.
    """
    quiet.import_tensorflow()
    from frostline.verification.verify import require_verified

    model_dir, evaluation_dir, decision_dir = Path(model), Path(evaluation), Path(decision)
    description = MODEL.read(model_dir)
    measured = EVALUATION.read(evaluation_dir)
    decided = DECISION.read(decision_dir)
    _refuse_unless_promoted(description, measured, decided)
    keys.require_pair(key, public_key)
    out = Path(published)
    out.mkdir(parents=True, exist_ok=True)
    identity = description["model_digest"]
    version = _champion(registry, model_name)
    attempt = _Attempt(registry, model_name, measured)
    if version is not None and version.manifest["identity"] == identity:
        versions.record(registry, model_name)  # in case the push that promoted it died before it could
        if (key or public_key) and not versions.is_signed(version.uri):
            say(f"{version.uri}: is not signed; if you trust this version, sign it: {sign_command(version)}")
        outcome = f"pushed: {model_name} version {version.number} is already the champion"
    else:
        with tempfile.TemporaryDirectory(dir=out) as temporary:
            directory = Path(temporary) / "version"
            _assemble(model_dir, evaluation_dir, decision_dir, directory)
            require_verified(model, f"{model_name}: the model")
            metadata = _metadata(description, measured)
            version = versions.publish(registry, model_name, directory, identity=identity, metadata=metadata)
            stored = _require_serving(registry, version, Path(temporary) / "stored")
            ours = versions.is_copy(version, directory, identity=identity, metadata=metadata)
            signing.sign(version, directory, stored, key, ours=ours)
            unsigned = signing.problem(version, stored, public_key)
            attempt.publish(version, evaluation_dir, description["labels"], decided, Path(temporary))
        try:
            outcome = _promote(registry, version, measured, decided, attempt, unsigned)
        except ChampionChanged as error:
            version, outcome = _overtaken(registry, version, error)
    attempt.conclude(version, outcome)
    _write(out, version, outcome)
    say(outcome)
    return outcome


class _Attempt:
    """The evaluation as the registry knows it; none where it was made before attempts were recorded."""

    def __init__(self, root: str, model_name: str, measured: Evaluation) -> None:
        self.root, self.model_name, self.name = root, model_name, measured.get("attempt")

    def publish(self, version: Version, evaluation: Path, labels: list[str], decided: Decision, scratch: Path) -> None:
        """Keep the predictions, and say which version it became, before the alias can name that version."""
        if self.name is None:
            return
        from frostline.evaluation import kept_predictions

        kept_predictions.write(scratch / kept_predictions.FILE, evaluation, labels)
        digest = versions.store_predictions(self.root, self.model_name, self.name, scratch / kept_predictions.FILE)
        self._conclude(version, becomes_reference=bool(decided.get("becomes_reference")), predictions=digest)

    def require_same_reference(self, version: Version) -> None:
        """Raise ChampionChanged if people named another reference since the evaluation."""
        if self.name is not None:
            versions.require_same(self.root, self.model_name, version.number, self._conclude(version))

    def conclude(self, version: Version, outcome: str) -> None:
        """Say what became of the model: pushed, candidate or held."""
        if self.name is not None:
            word, reason = outcome.split(": ", 1)
            self._conclude(version, outcome=word, reason=reason)

    def _conclude(self, version: Version, **fields: object) -> versions.Attempt:
        return versions.conclude(self.root, self.model_name, str(self.name), version=version.number, **fields)


def _refuse_unless_promoted(model: ModelDescription, evaluation: Evaluation, decision: Decision) -> None:
    verdict, approval = decision.get("verdict"), decision.get("approval")
    if verdict != "promote":
        raise RegistryError(f"{DECISION.file}: received the verdict {verdict!r}; only 'promote' is pushed")
    if approval not in ("none", "required"):
        raise RegistryError(f"{DECISION.file}: received approval {approval!r}; expected 'none' or 'required'")
    received = {
        MODEL.file: model.get("model_digest"),
        EVALUATION.file: evaluation.get("model_digest"),
        DECISION.file: decision.get("model_digest"),
    }
    if len(set(received.values())) != 1 or not received[MODEL.file]:
        raise RegistryError(f"model_digest: expected the same model in all three files; received {received}")
    if decision.get("evaluation_digest") != digests.of_json(evaluation):
        raise RegistryError(f"{DECISION.file}: was decided on another {EVALUATION.file}; run the gate again")


def _assemble(model: Path, evaluation: Path, decision: Path, directory: Path) -> None:
    """Collect what is published: a pure function of the three directories, so a repeated push has the same content."""
    serving = model / SERVING_DIRECTORY
    served = [Path(item.uri) for item in storage.list_files(str(serving))]
    if not served:
        raise NotFound(f"{serving}: there is no such directory")
    for path in served:
        _copy(path, directory / path.relative_to(serving))
    sources = ((model, MODEL_FILES), (evaluation, EVALUATION_FILES), (decision, DECISION_FILES))
    for path in (source / name for source, names in sources for name in names):
        _copy(path, directory / path.name)
    model_card.write(directory, model, evaluation, decision)


def _copy(source: Path, target: Path) -> None:
    """Copy and do not link: a version must not change when the run's files do."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_regular(source) as file, target.open("xb") as copy:
            shutil.copyfileobj(file, copy, _PIECE)
    except FileNotFoundError:
        raise NotFound(f"{source}: there is no such file") from None
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror or error}") from error


def _metadata(description: ModelDescription, measured: Evaluation) -> VersionMetadata:
    return {
        "labels": description["labels"],
        "image_size": description["image_size"],
        "backbone": description["backbone"],
        "policy": description["policy"],
        "parameters": description["parameters"],
        "frozen_parameters": description["frozen_parameters"],
        "accuracy": measured["accuracy"],
        "test_split": measured["test_split"]["digest"],
    }


def _champion(root: str, model_name: str) -> Version | None:
    if versions.champion(root, model_name) is None:
        return None
    return versions.look_up(root, f"registry:{model_name}@champion")


def _require_serving(root: str, version: Version, into: Path) -> Path:
    """Load what is stored, as a server does; reject the version if its predictions are not those of the evaluation.

    Returns the directory of the stored files on this machine.

    A registry that cannot be read says nothing about the version: that is a StorageError, and the push can be retried.
    """
    from frostline.evaluation import golden

    try:
        stored = versions.download(version, into)
        golden.require_reproduced(stored)
        return stored
    except (RegistryError, DataError) as error:
        versions.reject(root, version, reason=str(error))
        raise RegistryError(
            f"{version.model} version {version.number} is stored, but does not serve: {error}"
        ) from error


def _promote(
    root: str,
    version: Version,
    measured: Evaluation,
    decided: Decision,
    attempt: _Attempt,
    unsigned: NotSigned | None,
) -> str:
    """Make the version the champion or a candidate; `unsigned` is why it may not become the champion, if it may not."""
    name, number = version.model, version.number
    rollback = _rolled_back(root, version)
    if rollback is not None:  # a person's decision holds, however often a scheduled run trains this model again
        command = _command("rollback", root, name, f"--to {number}")
        by = f"{name} version {number} was rolled back by {rollback.approver}"
        return f"held: {by}; to make it the champion again: {command}"
    opponent, split = measured["champion"], measured["test_split"]["digest"]
    expected = None if opponent is None else check(Alias, opponent, f"{EVALUATION.file}: champion")
    attempt.require_same_reference(version)
    if decided["approval"] == "required":
        versions.nominate(root, version, compared_with=expected, test_split=split, attempt=attempt.name)
        command = _command("promote", root, name, str(number))
        if unsigned is not None:
            say(str(unsigned))
        return f"candidate: {name} version {number} waits for approval; {command}"
    if unsigned is not None:
        raise unsigned
    versions.promote(root, version, expected=expected, reason=decided["reason"], test_split=split, attempt=attempt.name)
    return f"pushed: {name} version {number} is the champion"


def _overtaken(root: str, version: Version, error: ChampionChanged) -> tuple[Version, str]:
    """The version and the outcome where the champion changed: an equal run may have published the same model."""
    serving = _champion(root, version.model)
    if serving is None or serving.manifest["identity"] != version.manifest["identity"]:
        return version, f"held: {error}"
    return (
        serving,
        f"pushed: {serving.model} version {serving.number} is already the champion: an equal run published it",
    )


def _rolled_back(root: str, version: Version) -> Promotion | None:
    """The rollback from this version to another one, if it is the latest change that concerns this version."""
    about = [
        one
        for one in versions.history(root, version.model)
        if one.version == version.number or (one.kind == "rollback" and one.previous_version == version.number)
    ]
    return about[-1] if about and about[-1].version != version.number else None


def _write(published: Path, version: Version, outcome: str) -> None:
    manifest = inference_service.manifest(version, outcome)
    artifacts.write_file(published / SERVICE_FILE, manifest.encode())
    PUBLISHED.write(
        published,
        {
            "model": version.model,
            "version": version.number,
            "uri": version.uri,
            "manifest_digest": version.manifest_digest,
            "outcome": outcome,
        },
    )


def _command(action: str, root: str, name: str, version: str) -> str:
    """What a person types; a registry on the volume of a cluster is reached in a pod that mounts it."""
    command = f"frostline registry {action} {shlex.quote(root)} {name} {version} --approver NAME --reason TEXT"
    if IN_A_POD in os.environ and not root.startswith("gs://"):
        return f"kubectl -n NAMESPACE exec frostline-shell -- {command} (the pod of k8s/shell)"
    return command
