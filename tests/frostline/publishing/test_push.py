"""push end to end: published, proven, promoted, nominated or held, and what stays as it was where it fails."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml

from frostline import registry, storage
from frostline.errors import ChampionChanged, DataError, NotFound, RegistryError, StorageError
from frostline.evaluation import golden

from tests.support import odd_files, pushes
from tests.support.pushes import ACCURACY, IMAGES, Run, compared_with

PUBLISHED = {"freeze_plan.json", "freeze_certificate.json", "training.jsonl", "training.json", "model.json"}
PUBLISHED |= {"model.keras", "images.parquet", "evaluation.json", "golden.parquet", "decision.json", "decision.md"}
PUBLISHED |= {"validation.json"}
PUBLISHED |= {"model_card.md", "model_card.html"}


def test_a_promoted_model_becomes_the_champion(root, made, tmp_path):
    run = Run(tmp_path / "run", root, made)
    assert run.push() == "pushed: digits version 1 is the champion"
    version = registry.look_up(root, "registry:digits@champion")
    assert version.manifest["identity"] == run.digest
    assert version.manifest["metadata"]["accuracy"] == ACCURACY
    directory = registry.download(version, tmp_path / "served")
    serving = tmp_path / "run" / "model" / "serving"
    served = {path.relative_to(serving).as_posix(): path for path in serving.rglob("*") if path.is_file()}
    assert all((directory / name).read_bytes() == path.read_bytes() for name, path in served.items())
    assert set(version.manifest["files"]) == PUBLISHED | set(served)
    assert run.published() == {
        "schema": "frostline/published/v1",
        "model": "digits",
        "version": 1,
        "uri": version.uri,
        "manifest_digest": version.manifest_digest,
        "outcome": "pushed: digits version 1 is the champion",
    }
    names = sorted(path.name for path in (tmp_path / "run" / "published").iterdir())
    assert names == ["inference_service.yaml", "version.json"]
    service = yaml.safe_load((tmp_path / "run" / "published" / "inference_service.yaml").read_text())
    assert service["metadata"]["annotations"]["frostline/manifest-digest"] == version.manifest_digest


def test_the_next_model_replaces_the_champion_that_it_was_compared_with(root, made, tmp_path):
    Run(tmp_path / "first", root, made).push()
    second = Run(tmp_path / "second", root, made, "d2", compared_with(root))
    assert second.push() == "pushed: digits version 2 is the champion"
    assert registry.champion(root, "digits").version == 2
    assert registry.promotions_decided_on(root, "digits", "split") == 2
    assert registry.promotions_decided_on(root, "digits", "another") == 0


def test_in_a_pod_the_advice_is_what_a_person_outside_of_it_types(root, made, tmp_path, monkeypatch):
    monkeypatch.setenv("KFP_POD_NAME", "frostline-finetune-abc-1")
    Run(tmp_path / "first", root, made).push()
    told = Run(tmp_path / "run", root, made, "d2", compared_with(root), approval="required").push()
    within = f"frostline registry promote {root} digits 2 --approver NAME --reason TEXT"
    exec_in = "" if root.startswith("gs://") else "kubectl -n NAMESPACE exec frostline-shell -- "
    assert f"waits for approval; {exec_in}{within}" in told


def test_a_champion_that_changed_meanwhile_holds_the_push(root, made, tmp_path):
    Run(tmp_path / "first", root, made).push()
    compared = compared_with(root)
    late, early = (
        Run(tmp_path / "late", root, made, "d2", compared),
        Run(tmp_path / "early", root, made, "d3", compared),
    )
    early.push()
    outcome = late.push()
    assert outcome == "held: digits: the champion is version 2 now; version 3 was compared with version 1"
    assert late.published()["outcome"] == outcome
    assert registry.look_up(root, "registry:digits").manifest["identity"] == early.digest


def test_a_model_that_was_compared_with_nothing_does_not_replace_a_champion(root, made, tmp_path):
    Run(tmp_path / "first", root, made).push()
    assert Run(tmp_path / "second", root, made, "d2").push().startswith("held: ")
    assert registry.champion(root, "digits").version == 1


def test_a_repeated_push_changes_nothing(root, made, tmp_path):
    run = Run(tmp_path / "run", root, made)
    run.push()
    before = {item.uri: item for item in storage.list_files(root)}
    assert run.push() == "pushed: digits version 1 is already the champion"
    assert run.published()["version"] == 1
    assert {item.uri: item for item in storage.list_files(root)} == before


def test_a_push_that_died_before_the_promotion_is_finished_by_its_retry(root, made, tmp_path):
    run = Run(tmp_path / "run", root, made)
    ended = run.die(number=pushes.MANIFEST, when="before")
    assert ended.returncode == -9, ended.stderr
    assert registry.versions(root, "digits") == []
    assert run.push() == "pushed: digits version 1 is the champion"
    assert len(registry.history(root, "digits")) == 1


def test_a_champion_that_its_push_did_not_live_to_record_is_recorded_by_the_repeated_push(root, made, tmp_path):
    run = Run(tmp_path / "run", root, made)
    run.push()
    recorded = storage.list_files(storage.join(root, "digits/promotions"))
    storage.delete(recorded[0].uri)
    run.push()
    assert [item.uri for item in storage.list_files(storage.join(root, "digits/promotions"))] == [recorded[0].uri]


def test_a_model_that_needs_approval_is_proven_and_waits(root, made, tmp_path):
    Run(tmp_path / "first", root, made).push()
    before = registry.champion(root, "digits")
    run = Run(tmp_path / "run", root, made, "d2", compared_with(root), approval="required")
    command = f"frostline registry promote {root} digits 2 --approver NAME --reason TEXT"
    assert run.push() == f"candidate: digits version 2 waits for approval; {command}"
    assert registry.champion(root, "digits") == before
    assert registry.states(root, "digits") == {1: "champion", 2: "candidate"}
    assert run.push().startswith("candidate: digits version 2")
    registry.approve(root, "digits", 2, approver="Ada", reason="looked at the mistakes")
    assert registry.champion(root, "digits").version == 2
    last = registry.history(root, "digits")[-1]
    assert (last.kind, last.approver, last.reason) == ("approval", "Ada", "looked at the mistakes")
    assert (last.previous_version, last.test_split) == (1, "split")


def test_a_candidate_waits_for_the_champion_that_it_was_compared_with_and_no_other(root, made, tmp_path):
    Run(tmp_path / "first", root, made).push()
    compared = compared_with(root)
    Run(tmp_path / "waits", root, made, "d2", compared, approval="required").push()
    Run(tmp_path / "next", root, made, "d3", compared).push()
    with pytest.raises(ChampionChanged, match="champion is version 3 now; version 2 was compared with version 1; run"):
        registry.approve(root, "digits", 2, approver="Ada", reason="late")
    assert registry.states(root, "digits") == {1: "earlier champion", 2: "superseded", 3: "champion"}
    again = Run(tmp_path / "again", root, made, "d2", compared_with(root), approval="required")
    assert again.push().startswith("candidate: digits version 2 waits")
    registry.approve(root, "digits", 2, approver="Ada", reason="compared again")
    assert registry.champion(root, "digits").version == 2


def test_what_a_person_rolled_back_is_not_promoted_by_the_next_run_that_makes_it_again(root, made, tmp_path):
    Run(tmp_path / "first", root, made).push()
    Run(tmp_path / "second", root, made, "d2", compared_with(root)).push()
    registry.rollback(root, "digits", approver="Ada", reason="complaints")
    again = Run(tmp_path / "again", root, made, "d2", compared_with(root)).push()
    told = "held: digits version 2 was rolled back by Ada; to make it the champion again: frostline registry rollback"
    assert again.startswith(told)
    assert registry.champion(root, "digits").version == 1
    registry.rollback(root, "digits", to=2, approver="Ada", reason="it was the camera")
    Run(tmp_path / "third", root, made, "d3", compared_with(root)).push()
    assert registry.champion(root, "digits").version == 3
    Run(tmp_path / "once more", root, made, "d2", compared_with(root)).push()
    assert registry.champion(root, "digits").version == 2


def test_what_is_stored_is_loaded_from_the_registry_before_the_alias_moves(root, made, tmp_path, monkeypatch):
    """A byte of the weights is lost between the read-back and the proof."""
    Run(tmp_path / "first", root, made).push()
    before = registry.champion(root, "digits")
    publish = registry.publish

    def damage(*arguments, **named):
        version = publish(*arguments, **named)
        uri = storage.join(version.uri, "variables/variables.data-00000-of-00001")
        data = storage.read_bytes(uri)
        storage.write_bytes(uri, bytes([data[0] ^ 1]) + data[1:])
        return version

    run = Run(tmp_path / "run", root, made, "d2", compared_with(root))
    with monkeypatch.context() as patch:
        patch.setattr(registry, "publish", damage)
        with pytest.raises(RegistryError, match=r"digits version 2 is stored, but does not serve: .*its manifest says"):
            run.push()
    assert_rejected(root, 2, before)
    again = Run(tmp_path / "again", root, made, "d2", compared_with(root))
    assert again.push() == "pushed: digits version 3 is the champion"


@pytest.mark.parametrize("shift", [3e-2, float("nan")])
def test_a_version_that_predicts_otherwise_than_measured_is_never_promoted(root, made, tmp_path, shift):
    run = Run(tmp_path / "run", root, made)
    images, probabilities = golden.read(tmp_path / "run" / "evaluation")
    assert images == IMAGES
    probabilities[1, 0] += np.float32(shift)
    golden.write(tmp_path / "run" / "evaluation", images, probabilities)
    with pytest.raises(RegistryError, match="a probability differs by"):
        run.push()
    assert_rejected(root, 1, None)
    assert not (tmp_path / "run" / "published" / "version.json").exists()


def assert_rejected(root, number, champion):
    assert registry.champion(root, "digits") == champion
    assert registry.states(root, "digits")[number] == "rejected"
    with pytest.raises(RegistryError, match="was rejected"):
        registry.look_up(root, f"registry:digits/{number}")
    [version] = [known for known in registry.versions(root, "digits") if known.number == number]
    with pytest.raises(RegistryError, match="was rejected"):
        registry.promote(root, version, expected=champion, reason="by force")
    with pytest.raises(RegistryError, match="was rejected"):
        registry.approve(root, "digits", number, approver="Ada", reason="by force")
    assert registry.champion(root, "digits") == champion


@pytest.mark.parametrize("verdict", ["hold", "inconclusive", "Promote", None])
def test_another_verdict_is_refused(made, tmp_path, verdict):
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    run.write("decision", "decision", model_digest="d1", verdict=verdict, reason="no", checks=[])
    with pytest.raises(RegistryError, match=f"received the verdict {verdict!r}; only 'promote' is pushed"):
        run.push()
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize("approval", ["Required", None, True])
def test_an_approval_that_is_neither_required_nor_none_is_refused(made, tmp_path, approval):
    run = Run(tmp_path / "run", tmp_path / "registry", made, approval=approval)
    with pytest.raises(RegistryError, match=f"received approval {approval!r}; expected 'none' or 'required'"):
        run.push()
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize("kind", ["model", "evaluation", "decision"])
@pytest.mark.parametrize("digest", ["another", None])
def test_evidence_about_another_model_is_refused(made, tmp_path, kind, digest):
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    path = tmp_path / "run" / kind / f"{kind}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_digest": digest}))
    with pytest.raises(RegistryError, match="model_digest: expected the same model in all three files"):
        run.push()
    assert not (tmp_path / "registry").exists()


def test_a_decision_on_another_evaluation_of_the_same_model_is_refused(made, tmp_path):
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    path = tmp_path / "run" / "evaluation" / "evaluation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "leaked": 1}))
    with pytest.raises(RegistryError, match=r"decision\.json: was decided on another evaluation\.json"):
        run.push()
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize(
    "missing", ["model/model.keras", "model/images.parquet", "model/serving", "evaluation/golden.parquet"]
)
def test_an_incomplete_model_takes_no_number(made, tmp_path, missing):
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    path = tmp_path / "run" / missing
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(NotFound) as caught:
        run.push()
    assert str(path) in str(caught.value)
    assert not (tmp_path / "registry").exists()
    assert list((tmp_path / "run" / "published").iterdir()) == []


def test_a_file_of_the_model_that_would_wait_for_ever_is_refused_at_once(made, tmp_path):
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    path = tmp_path / "run" / "model" / "training.json"
    path.unlink()
    odd_files.make(path, "fifo")
    with (
        odd_files.in_time(),
        pytest.raises(StorageError, match=r"training\.json: cannot be read: it is no regular file"),
    ):
        run.push()
    assert not (tmp_path / "registry").exists()


def test_a_missing_decision_is_named(made, tmp_path):
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    (tmp_path / "run" / "decision" / "decision.json").unlink()
    with pytest.raises(DataError, match=r"decision\.json: is missing"):
        run.push()


def test_a_version_stays_as_it_is_whatever_becomes_of_the_runs_files(root, made, tmp_path):
    Run(tmp_path / "run", root, made).push()
    for folder in ("model", "evaluation", "decision"):
        for path in filter(Path.is_file, (tmp_path / "run" / folder).rglob("*")):
            with path.open("r+b") as file:
                file.write(b"edited in place")
    registry.download(registry.look_up(root, "registry:digits"), tmp_path / "back")


def test_the_same_push_many_times_at_once_is_one_version(root, made, tmp_path):
    run = Run(tmp_path / "run", root, made)
    with pushes.Reader(root) as reader, ThreadPoolExecutor(6) as pool:
        outcomes = set(pool.map(run.push, map(str, range(6))))
    assert reader.seen == []
    assert [version.number for version in registry.versions(root, "digits")] == [1]
    assert registry.champion(root, "digits").version == 1
    assert len(registry.history(root, "digits")) == 1
    assert len(storage.list_files(storage.join(root, "digits/claims"))) == 1
    assert all("version 1 " in outcome for outcome in outcomes)
