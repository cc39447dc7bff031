"""The demo's summary of a run, from the run's files alone."""

from pathlib import Path

import pytest

from frostline import registry
from frostline.artifacts import write_json
from frostline.errors import DataError
from pipelines import demo

PLACES = {  # kind of document: its path in the directory of a run's artifacts
    "freeze_plan": "plan/freeze_plan/freeze_plan.json",
    "freeze_certificate": "train/model/freeze_certificate.json",
    "evaluation": "evaluate/evaluation/evaluation.json",
    "decision": "gate/decision/decision.json",
}
INTERVAL = {"value": 0.94, "low": 0.9, "high": 0.97, "method": "wilson"}


@pytest.fixture
def run(tmp_path):
    """A finished run's directory and summary, with one version in its registry."""
    directory, root = tmp_path / "runs" / "digits-1", str(tmp_path / "registry")
    artifacts = directory / "artifacts" / "frostline-finetune-1"
    totals = {"frozen_parameters": 896, "parameters": 93920, "frozen_layers": 2, "weighted_layers": 6}
    contents = {
        "freeze_plan": {"totals": totals, "boundary": {"layer": "p1"}},
        "freeze_certificate": {"verified": True, "frozen_tensors": 5, "moved": []},
        "evaluation": {"accuracy": INTERVAL, "examples": 180, "champion": None},
        "decision": {"verdict": "promote", "reason": "good enough"},
    }
    for kind, content in contents.items():
        write_json(artifacts / PLACES[kind], kind, content)
    write_json(directory / "arguments.json", "arguments", {"arguments": {"registry": root, "model_name": "digits"}})
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_text("model")
    version = registry.publish(root, "digits", tmp_path / "model", identity="a" * 64, metadata={})
    registry.promote(root, version, expected=None, reason="good enough")
    return {
        "directory": str(directory),
        "outcome": "pushed: digits version 1 is the champion",
        "seconds": 20.0,
        "steps": {"train": 9.12},
        "pages": {"report.html": "/runs/report.html"},
    }


def rewrite(run, kind, payload):
    (path,) = Path(run["directory"]).glob(f"artifacts/*/{PLACES[kind]}")
    write_json(path, kind, payload)


def test_the_story_of_a_first_run(run, capsys):
    story = demo.story(run)

    assert story["frozen"] == "896 of the backbone's 93,920 parameters, in 2 of 6 layers, up to p1"
    assert story["verified"] == "5 frozen tensors are bit-identical before and after training"
    assert story["accuracy"] == "0.940 (interval 0.900 to 0.970) on 180 test images"
    assert story["champion"] == "there was none"
    assert story["verdict"] == "promote: good enough"
    assert story["registry"].endswith("registry: 1 version of digits; version 1 is the champion")
    assert story["report"] == "/runs/report.html"
    assert story["seconds"] == "20.0 (train 9.1)"

    demo.show("digits-finetune", story)
    assert capsys.readouterr().out.splitlines()[1] == "digits-finetune"


def test_the_story_of_a_second_run_compares(run):
    difference = {"value": -0.01, "low": -0.03, "high": 0.02, "method": "newcombe"}
    champion = {"version": 1, "comparable": True, "reason": "", "accuracy": INTERVAL, "difference": difference}
    rewrite(run, "evaluation", {"accuracy": INTERVAL, "examples": 180, "champion": champion})
    assert demo.story(run)["champion"] == (
        "version 1: accuracy 0.940; new minus old -0.010 (interval -0.030 to +0.020)"
    )

    rewrite(
        run,
        "evaluation",
        {
            "accuracy": INTERVAL,
            "examples": 180,
            "champion": {"version": 1, "comparable": False, "reason": "other labels"},
        },
    )
    assert demo.story(run)["champion"] == "version 1, not comparable: other labels"


def test_a_certificate_that_is_not_verified_is_reported_as_such(run):
    rewrite(run, "freeze_certificate", {"verified": False, "frozen_tensors": 5, "moved": ["block1/kernel"]})
    assert demo.story(run)["verified"] == "NOT verified: 1 frozen tensors changed"


def test_where_nothing_was_frozen_nothing_is_claimed(run):
    rewrite(run, "freeze_certificate", {"verified": True, "frozen_tensors": 0, "moved": []})
    assert demo.story(run)["verified"] == "nothing: no tensor was frozen"


def test_a_missing_file_is_named(run):
    (path,) = Path(run["directory"]).glob(f"artifacts/*/{PLACES['decision']}")
    path.unlink()

    with pytest.raises(DataError, match=r"decision\.json"):
        demo.story(run)
