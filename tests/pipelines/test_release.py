"""A release process, from the first model to a rollback: the compiled pipeline, then the commands that people use."""

import json
import re
import shutil

import pytest

from frostline import registry
from frostline.artifacts import read_json

from tests.support import pictures, signing
from tests.support.running import COLOURS, Run, frostline

CONFIG = f"{COLOURS}gate: {{min_accuracy: 0.5, margin: 0.2}}\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("release")


@pytest.fixture(scope="module")
def run(root):
    """A function that runs the pipeline on the same photos, whose metadata say how each was taken."""
    photos = pictures.make(root / "photos", 40)
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.jpg"))
    lines = [f"{name},{'phone' if number % 3 else 'studio'}" for number, name in enumerate(names)]
    (photos / "metadata.csv").write_text("\n".join(["file_name,camera", *lines]) + "\n")
    config = root / "colours.yaml"
    keys = signing.pair(root, "signer")
    signed = f"signing: {{key: {keys.private}, public_key: {keys.public}}}\n"
    config.write_text(CONFIG.replace("DIR", str(photos)) + signed)

    def run(*overrides):
        done = Run(root / "runs", config, *overrides)
        assert done.code == 0, done.err
        return done

    return run


@pytest.fixture(scope="module")
def first(run):
    return run()


@pytest.fixture(scope="module")
def unsure(run, first):
    return run("seed=1", "gate.margin=0.001")


@pytest.fixture(scope="module")
def candidate(run, unsure):
    return run("seed=1", "gate.approval=required")


@pytest.fixture(scope="module")
def place(root):
    return str(root / "runs" / "registry")


def gate(*arguments):
    return frostline("gate", *arguments)


def test_what_ships_is_measured_by_slice_and_shown_on_one_page(first):
    assert first.out.startswith("pushed: colours version 1 is the champion")
    evaluation = read_json(first.artifact("evaluate/evaluation/evaluation.json"), "evaluation")
    assert {(one["column"], one["value"]) for one in evaluation["slices"]} == {
        ("camera", "phone"),
        ("camera", "studio"),
    }
    assert evaluation["skew"]["agreement"] == 1.0
    page = (first.directory / "report.html").read_text()
    assert all(word in page for word in ("Promote", "studio", "Confusion", "block3"))
    output = json.loads(first.artifact("evaluate/executor_output.json").read_text())["artifacts"]
    shown = output["confusion"]["artifacts"][0]["metadata"]["confusionMatrix"]
    assert [row["row"] for row in shown["rows"]] == evaluation["confusion"]
    output = json.loads(first.artifact("release/executor_output.json").read_text())["artifacts"]
    assert output["metrics"]["artifacts"][0]["metadata"]["accuracy"] == evaluation["accuracy"]["value"]


def test_the_version_is_signed_with_the_key_of_the_configuration(first, root, place):
    version = f"{place}/colours/versions/1"
    code, out, _ = frostline("verify", version, "--public-key", root / "signer.pub")
    assert code == 0
    assert "passed  signature " in out
    assert gate(version, "--public-key", root / "signer.pub")[0] == 0
    other = signing.pair(root, "other")
    assert frostline("verify", version, "--public-key", other.public)[0] == 1


def test_too_few_images_to_tell_are_inconclusive_and_the_run_says_how_many_would_do(unsure, place):
    decision = read_json(unsure.artifact("gate/decision/decision.json"), "decision")
    assert decision["verdict"] == "inconclusive"
    assert decision["examples_needed"] > 48
    assert unsure.out.startswith("held: ")
    assert read_json(unsure.artifact("release/released/held.json"), "held")["verdict"] == "inconclusive"
    assert registry.champion(place, "colours").version == 1


def test_the_gate_answers_a_release_process_by_its_exit_code(first, unsure, place, tmp_path):
    code, out, _ = gate(first.directory)
    assert (code, out.splitlines()[0]) == (0, "# Promote: this model can replace the one in production")
    code, out, _ = gate(unsure.directory, "--json")
    assert (code, json.loads(out)["verdict"]) == (1, "inconclusive")
    assert gate(f"{place}/colours/versions/1")[0] == 0
    stricter = tmp_path / "strict.yaml"
    stricter.write_text(CONFIG.replace("min_accuracy: 0.5", "min_accuracy: 1.0, min_class_recall: 1.0"))
    assert gate(first.directory, "--config", stricter)[0] == 1
    for arguments in ([], [tmp_path / "nowhere"], [tmp_path], [first.directory, "--config", tmp_path / "none.yaml"]):
        code, out, err = gate(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("frostline: error: ")
        assert err.count("\n") == 1


def test_evidence_that_is_missing_or_damaged_holds(first):
    path = first.artifact("train/model/freeze_certificate.json")
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-9])
        code, out, _ = gate(first.directory)
        assert (code, out.splitlines()[0]) == (1, "# Hold: the model in production stays")
        path.unlink()
        assert gate(first.directory)[0] == 1
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("damage", [b"{", b"", b"[" * 100_000, "no config", "less config"])
def test_a_run_whose_configuration_of_the_gate_is_lost_holds(first, tmp_path, damage):
    path = first.artifact("gate/decision/decision.json")
    whole, decision = path.read_bytes(), json.loads(path.read_bytes())
    if not isinstance(damage, bytes):
        del decision["config"]["min_accuracy"]
        damage = json.dumps({**decision, "config": decision["config"] if damage == "less config" else None}).encode()
    config = tmp_path / "c.yaml"
    config.write_text(CONFIG)
    try:
        path.write_bytes(damage)
        code, out, err = gate(first.directory)
        assert (code, err) == (1, "")
        assert "| configuration | fail |" in out
        assert "pass --config" in out
        assert gate(first.directory, "--config", config)[0] == 0
    finally:
        path.write_bytes(whole)


def asked(place, number):
    """Exit code of the gate on a version, and the verdict of its check of the registry alone."""
    code, out, _ = gate(f"{place}/colours/versions/{number}", "--json")
    found = {check["name"]: check["verdict"] for check in json.loads(out)["checks"]}
    assert found.pop("published") == "pass"
    verdict = found.pop("registry")
    assert set(found.values()) == {"pass"}
    return code, verdict


@pytest.mark.parametrize("damage", ["edited", "without a manifest"])
def test_a_version_that_is_not_as_it_was_published_holds(first, place, tmp_path, damage):
    copy = shutil.copytree(f"{place}/colours/versions/1", tmp_path / "copy")
    assert gate(copy)[0] == 0
    if damage == "edited":
        text = (copy / "evaluation.json").read_text()
        (copy / "evaluation.json").write_text(text.replace('"leaked": 0', '"leaked":  0'))
    else:
        (copy / "manifest.json").unlink()
        assert frostline("verify", copy)[0] == 1
    code, out, _ = gate(copy)
    assert code == 1
    reason = {"edited": "evaluation.json differs", "without a manifest": "manifest.json is missing"}[damage]
    assert f"| published | fail |  |  | {reason} |" in out


def test_a_candidate_waits_for_a_named_person_serves_and_can_be_rolled_back(candidate, place):
    assert candidate.out.startswith("candidate: colours version 2 waits for approval")
    assert registry.champion(place, "colours").version == 1
    code, out, _ = frostline("registry", "list", place, "colours")
    assert code == 0
    assert re.search(r"^ *1 +champion .*\n *2 +candidate ", out)
    assert [asked(place, number) for number in (1, 2)] == [(0, "pass"), (0, "pass")]
    approve = ["registry", "promote", place, "colours", "2"]
    assert frostline(*approve)[0] == 2  # nobody's name, no reason
    code, out, _ = frostline(*approve, "--approver", "mira", "--reason", "looked at the worst mistakes")
    assert code == 0, out
    assert registry.champion(place, "colours").version == 2
    assert [asked(place, number) for number in (1, 2)] == [(1, "fail"), (0, "pass")]
    code, out, _ = frostline("registry", "rollback", place, "colours", "--approver", "mira", "--reason", "complaints")
    assert code == 0, out
    assert registry.champion(place, "colours").version == 1
    assert [asked(place, number) for number in (1, 2)] == [(0, "pass"), (1, "fail")]
    recorded = [(one.kind, one.version, one.approver) for one in registry.history(place, "colours")]
    assert recorded == [("promotion", 1, None), ("approval", 2, "mira"), ("rollback", 1, "mira")]
    assert frostline("verify", f"{place}/colours/versions/2")[0] == 0


def test_the_decision_says_that_its_test_images_were_used_before(candidate):
    decision = read_json(candidate.artifact("gate/decision/decision.json"), "decision")
    used = "1 earlier decision used these test images or some of them (0 held)"
    assert any(used in note for note in decision["notes"])
    assert used in (candidate.directory / "decision.md").read_text()
