import pytest

from frostline import artifacts, hold
from frostline.errors import DataError

CHECK = {"name": "floor", "verdict": "fail", "value": 0.4, "limit": 0.5, "reason": "accuracy 0.40 is below 0.50"}


def decide(directory, verdict):
    payload = {"verdict": verdict, "model_digest": "d", "checks": [CHECK], "reason": CHECK["reason"]}
    artifacts.write_json(directory / "decision.json", "decision", payload)


@pytest.mark.parametrize("verdict", ["hold", "inconclusive"])
def test_the_reason_is_told_and_recorded(tmp_path, verdict, capsys):
    decide(tmp_path / "decision", verdict)
    outcome = hold.run(decision=str(tmp_path / "decision"), held=str(tmp_path / "held"))
    assert outcome == "held: accuracy 0.40 is below 0.50"
    assert outcome in capsys.readouterr().err
    recorded = artifacts.read_json(tmp_path / "held" / "held.json", "held")
    assert (recorded["verdict"], recorded["reason"], recorded["checks"]) == (verdict, CHECK["reason"], [CHECK])


@pytest.mark.parametrize("verdict", ["promote", None])
def test_a_model_that_was_to_be_pushed_is_not_held_silently(tmp_path, verdict):
    decide(tmp_path / "decision", verdict)
    with pytest.raises(DataError, match=f"received the verdict {verdict!r}"):
        hold.run(decision=str(tmp_path / "decision"), held=str(tmp_path / "held"))
    assert not (tmp_path / "held").exists()


def test_a_missing_decision_is_named(tmp_path):
    with pytest.raises(DataError, match=r"decision\.json: is missing"):
        hold.run(decision=str(tmp_path), held=str(tmp_path / "held"))
