"""The last step pushes or holds by the gate's word, and tells the outcome where people look."""

import json
from pathlib import Path

import pytest

from frostline import artifacts, registry, release
from frostline.documents.release import HELD, PUBLISHED
from frostline.errors import ConfigError

from tests.support.pushes import NAME, Run


def released(directory, root, **signing):
    places = {name: str(directory / name) for name in ("model", "evaluation", "decision", "released")}
    return release.run(
        **places, model_name=NAME, registry=str(root), signing=signing, page=str(directory / "outcome.md")
    )


def test_a_promoted_model_is_pushed_with_the_numbers_that_runs_are_compared_by(made, tmp_path):
    run, root = Run(tmp_path / "run", tmp_path / "registry", made), tmp_path / "registry"
    found = released(run.directory, root)
    assert found["outcome"] == "pushed: digits version 1 is the champion"
    assert registry.champion(str(root), NAME).version == 1
    assert PUBLISHED.read(run.directory / "released")["version"] == 1
    numbers = found["numbers"]
    assert (numbers["promoted"], numbers["accuracy"], numbers["macro_f1"]) == (1.0, 0.9, 0.8845)
    assert 0 < numbers["frozen_share"] < 1
    assert numbers["latency_ms"] > 0 < numbers["size_mb"]
    page = (run.directory / "outcome.md").read_text()
    assert page.startswith("# Pushed\n\ndigits version 1 is the champion\n")
    assert "| accuracy | 0.9 |" in page


def test_a_candidate_is_not_counted_as_promoted(made, tmp_path):
    run = Run(tmp_path / "run", tmp_path / "registry", made, approval="required")
    found = released(run.directory, tmp_path / "registry")
    assert found["outcome"].startswith("candidate: digits version 1 waits for approval")
    assert found["numbers"]["promoted"] == 0.0


@pytest.mark.parametrize("verdict", ["hold", "inconclusive"])
@pytest.mark.parametrize("readable", [True, False])
def test_a_held_model_is_held_with_its_reason_even_without_an_evaluation(made, tmp_path, verdict, readable):
    run = Run(tmp_path / "run", tmp_path / "registry", made, verdict=verdict, reason="accuracy is below 0.5", checks=[])
    if not readable:
        (run.directory / "evaluation" / "evaluation.json").write_text(json.dumps({"schema": "other"}))
    found = released(run.directory, tmp_path / "registry")
    assert found["outcome"] == "held: accuracy is below 0.5"
    assert HELD.read(run.directory / "released")["verdict"] == verdict
    assert found["numbers"]["promoted"] == 0.0
    assert ("accuracy" in found["numbers"]) == readable
    assert registry.champion(str(tmp_path / "registry"), NAME) is None
    assert not Path(tmp_path / "registry").exists()


def test_a_decision_of_another_kind_is_refused(made, tmp_path):
    run = Run(tmp_path / "run", tmp_path / "registry", made)
    artifacts.write_json(run.directory / "decision" / "decision.json", "evaluation", {"verdict": "promote"})
    with pytest.raises(artifacts.DataError, match="schema"):
        released(run.directory, tmp_path / "registry")


def test_the_keys_of_the_configuration_sign_and_check_what_is_pushed(made, tmp_path, signer):
    run, root = Run(tmp_path / "run", tmp_path / "registry", made), tmp_path / "registry"
    with pytest.raises(ConfigError, match=r"signing\.key: received .*; that is a public key"):
        released(run.directory, root, key=signer.public)
    assert not root.exists()
    found = released(run.directory, root, key=signer.private, public_key=signer.public)
    assert found["outcome"] == "pushed: digits version 1 is the champion"
    version = registry.look_up(str(root), f"registry:{NAME}")
    registry.download_signed(version, tmp_path / "found", signer.pem)
