"""The gate command decides again from the files of a run or of a version, and holds if one is missing."""

import pytest
import yaml

from frostline import artifacts
from frostline.errors import ConfigError
from pipelines import gate_command

from tests.support.evaluations import CERTIFICATE, CONFIG, EVALUATION, VALIDATION, check

EVIDENCE = [
    ("evaluate/evaluation", "evaluation.json", "evaluation", EVALUATION),
    ("train/model", "freeze_certificate.json", "freeze_certificate", CERTIFICATE),
    ("validate/info", "report.json", "validation", VALIDATION),
]
CONFIGURED = {"config": CONFIG.model_dump()}


@pytest.fixture
def run(tmp_path):
    """The directory of a run whose gate promoted."""
    artifacts_of_run = tmp_path / "run" / "artifacts" / "finetune-1"
    for place, file, kind, document in EVIDENCE:
        artifacts.write_json(artifacts_of_run / place / file, kind, document)
    artifacts.write_json(artifacts_of_run / "gate/decision/decision.json", "decision", CONFIGURED)
    return tmp_path / "run"


@pytest.fixture
def version(tmp_path):
    """The evidence as a version has it, but without a manifest."""
    for _, file, kind, document in EVIDENCE:
        name = "validation.json" if kind == "validation" else file
        artifacts.write_json(tmp_path / "version" / name, kind, document)
    artifacts.write_json(tmp_path / "version" / "decision.json", "decision", CONFIGURED)
    return tmp_path / "version"


def test_a_run_is_decided_by_the_configuration_of_its_gate(run):
    decision = gate_command.run(str(run), None)
    assert decision["verdict"] == "promote"
    assert decision["config"] == CONFIG.model_dump()
    assert not {"configuration", "published", "registry"} & {one["name"] for one in decision["checks"]}


def test_another_configuration_can_be_given(run, tmp_path):
    path = tmp_path / "strict.yaml"
    path.write_text(yaml.safe_dump({"source": "digits", "model_name": "toy", "gate": {"min_accuracy": 0.99}}))
    decision = gate_command.run(str(run), path)
    assert (decision["verdict"], check(decision, "accuracy")["limit"]) == ("hold", 0.99)


@pytest.mark.parametrize(("place", "file", "kind"), [row[:3] for row in EVIDENCE])
def test_a_run_without_one_document_is_held(run, place, file, kind):
    next(run.glob(f"artifacts/*/{place}/{file}")).unlink()
    decision = gate_command.run(str(run), None)
    assert decision["verdict"] == "hold"
    assert f"{file}: is missing; expected a frostline/{kind}/v1 file" in decision["reason"]


def test_a_run_with_two_evaluations_has_none(run):
    artifacts.write_json(run / "artifacts/finetune-2/evaluate/evaluation/evaluation.json", "evaluation", EVALUATION)
    decision = gate_command.run(str(run), None)
    assert decision["verdict"] == "hold"
    assert "(2 found)" in decision["reason"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is missing; expected a frostline/decision/v1 file; pass --config"),
        ({}, "its configuration lacks approval, comparison, "),
        ({"config": 3}, "its configuration lacks approval, comparison, "),
        ({"config": {**CONFIGURED["config"], "margin": -1.0}}, "gate.margin: received -1.0"),
    ],
)
def test_a_run_whose_earlier_configuration_is_not_known_is_held(run, content, reason):
    path = next(run.glob("artifacts/*/gate/decision/decision.json"))
    if content is None:
        path.unlink()
    else:
        artifacts.write_json(path, "decision", content)
    decision = gate_command.run(str(run), None)
    found = check(decision, "configuration")
    assert (decision["verdict"], found["verdict"]) == ("hold", "fail")
    assert found["reason"].startswith("the gate's earlier configuration is not known: ")
    assert reason in found["reason"]
    assert found["reason"].endswith("; pass --config")
    assert [one["name"] for one in decision["checks"] if one["verdict"] == "fail"] == ["configuration"]


def test_a_version_must_also_be_as_it_was_published(version):
    decision = gate_command.run(str(version), None)
    assert decision["verdict"] == "hold"
    assert [one["name"] for one in decision["checks"] if one["verdict"] == "fail"] == ["published"]
    assert "manifest.json is missing" in check(decision, "published")["reason"]


def test_a_directory_of_something_else_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match="expected the directory of a run, or of a version in a registry"):
        gate_command.run(str(tmp_path), None)
    with pytest.raises(ConfigError, match="there is nothing at this address"):
        gate_command.run(str(tmp_path / "nowhere"), None)
    (tmp_path / "file").write_text("text")
    with pytest.raises(ConfigError, match="expected a directory"):
        gate_command.run(str(tmp_path / "file"), None)
