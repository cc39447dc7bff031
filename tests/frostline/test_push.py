import json
from pathlib import Path

import pytest

from frostline import artifacts, push, registry
from frostline.errors import DataError, NotFound, RegistryError

SERVING = {"saved_model.pb": b"graph", "variables/variables.index": b"index", "variables/variables.data-0": b"weights"}
ACCURACY = {"value": 0.9, "low": 0.85, "high": 0.94, "method": "wilson"}


class Run:
    """The artifacts of one run, up to and including the decision."""

    def __init__(self, directory, root, digest="d1", champion=None):
        self.directory, self.root = directory, str(root)
        for name, data in SERVING.items():
            path = directory / "model" / "serving" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data + digest.encode())
        (directory / "model" / "model.keras").write_bytes(b"keras")
        (directory / "model" / "training.jsonl").write_text("{}\n")
        (directory / "model" / "training.json").write_text("{}\n")
        for name in ("freeze_plan", "freeze_certificate"):
            artifacts.write_json(directory / "model" / f"{name}.json", name, {})
        self.write("model", "model", model_digest=digest, labels=["a", "b"], image_size=32, backbone="SmallConvNet")
        self.write("evaluation", "evaluation", model_digest=digest, accuracy=ACCURACY, champion=champion)
        self.write("decision", "decision", model_digest=digest, verdict="promote", reason="not worse", checks=[])
        (directory / "decision" / "decision.md").write_text("# promote\n")

    def write(self, folder, kind, **payload):
        artifacts.write_json(self.directory / folder / f"{kind}.json", kind, payload)

    def push(self):
        places = [str(self.directory / name) for name in ("model", "evaluation", "decision")]
        return push.run(*places, "digits", self.root, str(self.directory / "published"))

    def published(self):
        return artifacts.read_json(self.directory / "published" / "version.json", "published")


def compared_with(root):
    alias = registry.champion(str(root), "digits")
    return {"version": alias.version, "manifest_digest": alias.manifest_digest, "generation": alias.generation}


@pytest.fixture(params=["local", "gcs"])
def root(request, tmp_path):
    return str(tmp_path / "registry") if request.param == "local" else request.getfixturevalue("gcs")


def test_a_promoted_model_becomes_the_champion(root, tmp_path):
    run = Run(tmp_path / "run", root)
    assert run.push() == "pushed: digits version 1 is the champion"
    version = registry.resolve(root, "registry:digits@champion")
    assert version.manifest["identity"] == "d1"
    assert version.manifest["metadata"]["accuracy"] == ACCURACY
    directory = registry.download(version, tmp_path / "served")
    assert {name: (directory / name).read_bytes() for name in SERVING} == {
        name: data + b"d1" for name, data in SERVING.items()
    }
    described = {"freeze_plan.json", "freeze_certificate.json", "training.jsonl", "training.json", "model.json"}
    described |= {"evaluation.json"}
    assert described | {"model.keras", "decision.json", "decision.md"} | set(SERVING) == set(version.manifest["files"])
    assert run.published() == {
        "schema": "frostline/published/v1",
        "model": "digits",
        "version": 1,
        "uri": version.uri,
        "manifest_digest": version.manifest_digest,
        "outcome": "pushed: digits version 1 is the champion",
    }
    assert [path.name for path in (tmp_path / "run" / "published").iterdir()] == ["version.json"]


def test_the_next_model_replaces_the_champion_that_it_was_compared_with(root, tmp_path):
    Run(tmp_path / "first", root).push()
    second = Run(tmp_path / "second", root, "d2", compared_with(root))
    assert second.push() == "pushed: digits version 2 is the champion"
    assert registry.champion(root, "digits").version == 2


def test_a_champion_that_changed_meanwhile_holds_the_push(root, tmp_path):
    Run(tmp_path / "first", root).push()
    compared = compared_with(root)
    late, early = Run(tmp_path / "late", root, "d2", compared), Run(tmp_path / "early", root, "d3", compared)
    early.push()
    outcome = late.push()
    assert outcome == "held: digits: the champion is version 2 now; version 3 was compared with version 1"
    assert late.published()["outcome"] == outcome
    assert registry.resolve(root, "registry:digits").manifest["identity"] == "d3"


def test_a_model_that_was_compared_with_nothing_does_not_replace_a_champion(root, tmp_path):
    Run(tmp_path / "first", root).push()
    assert Run(tmp_path / "second", root, "d2").push().startswith("held: ")
    assert registry.champion(root, "digits").version == 1


def test_a_repeated_push_changes_nothing(root, tmp_path):
    run = Run(tmp_path / "run", root)
    run.push()
    before = registry.champion(root, "digits")
    assert run.push() == "pushed: digits version 1 already serves this model"
    assert run.published()["version"] == 1
    assert registry.champion(root, "digits") == before
    assert len(registry.versions(root, "digits")) == 1


def test_a_push_that_died_before_the_promotion_is_finished_by_its_retry(root, tmp_path):
    run = Run(tmp_path / "run", root)
    model = {"identity": "d1", "metadata": {}}
    registry.publish(root, "digits", tmp_path / "run" / "model" / "serving", **model)
    assert run.push() == "pushed: digits version 1 is the champion"


@pytest.mark.parametrize("verdict", ["hold", "inconclusive", "Promote", None])
def test_another_verdict_is_refused(tmp_path, verdict):
    run = Run(tmp_path / "run", tmp_path / "registry")
    run.write("decision", "decision", model_digest="d1", verdict=verdict, reason="no", checks=[])
    with pytest.raises(RegistryError, match=f"received the verdict {verdict!r}; only 'promote' is pushed"):
        run.push()
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize("kind", ["model", "evaluation", "decision"])
@pytest.mark.parametrize("digest", ["another", None])
def test_evidence_about_another_model_is_refused(tmp_path, kind, digest):
    run = Run(tmp_path / "run", tmp_path / "registry")
    path = tmp_path / "run" / kind / f"{kind}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_digest": digest}))
    with pytest.raises(RegistryError, match="model_digest: expected one model in all three files"):
        run.push()
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize("missing", ["model.keras", "freeze_certificate.json", "serving"])
def test_an_incomplete_model_takes_no_number(tmp_path, missing):
    run = Run(tmp_path / "run", tmp_path / "registry")
    path = tmp_path / "run" / "model" / missing
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(NotFound) as caught:
        run.push()
    assert str(path) in str(caught.value)
    assert not (tmp_path / "registry").exists()
    assert list((tmp_path / "run" / "published").iterdir()) == []


def test_a_missing_decision_is_named(tmp_path):
    run = Run(tmp_path / "run", tmp_path / "registry")
    (tmp_path / "run" / "decision" / "decision.json").unlink()
    with pytest.raises(DataError, match=r"decision\.json: is missing"):
        run.push()


def test_nothing_is_copied_between_the_model_and_a_local_registry(tmp_path):
    Run(tmp_path / "run", tmp_path / "registry").push()
    served = Path(registry.resolve(str(tmp_path / "registry"), "registry:digits").uri)
    for name in ("model.keras", "serving/variables/variables.data-0"):
        assert (served / name.removeprefix("serving/")).samefile(tmp_path / "run" / "model" / name)
