import pytest

from frostline import artifacts, registry
from frostline.errors import DataError, RegistryError
from frostline.publishing import hold

from tests.support.attempts import attempt

CHECK = {"name": "floor", "verdict": "fail", "value": 0.4, "limit": 0.5, "reason": "accuracy 0.40 is below 0.50"}


def decide(directory, verdict):
    payload = {"verdict": verdict, "model_digest": "d", "checks": [CHECK], "reason": CHECK["reason"]}
    artifacts.write_json(directory / "decision.json", "decision", payload)


def run(directory):
    """hold.run in a directory; returns the outcome."""
    return hold.run(
        decision=str(directory / "decision"), evaluation=str(directory / "evaluation"), model_name="digits",
        registry=str(directory / "registry"), held=str(directory / "held"),
    )  # fmt: skip


def evaluated(directory, **fields):
    artifacts.write_json(directory / "evaluation" / "evaluation.json", "evaluation", fields)


@pytest.mark.parametrize("verdict", ["hold", "inconclusive"])
def test_the_reason_is_told_and_recorded(tmp_path, verdict, capsys):
    decide(tmp_path / "decision", verdict)
    outcome = run(tmp_path)
    assert outcome == "held: accuracy 0.40 is below 0.50"
    assert outcome in capsys.readouterr().err
    recorded = artifacts.read_json(tmp_path / "held" / "held.json", "held")
    assert (recorded["verdict"], recorded["reason"], recorded["checks"]) == (verdict, CHECK["reason"], [CHECK])


@pytest.mark.parametrize("verdict", ["promote", None])
def test_a_model_that_was_to_be_pushed_is_not_held_silently(tmp_path, verdict):
    decide(tmp_path / "decision", verdict)
    with pytest.raises(DataError, match=f"received the verdict {verdict!r}"):
        run(tmp_path)
    assert not (tmp_path / "held").exists()


def test_a_missing_decision_is_named(tmp_path):
    with pytest.raises(DataError, match=r"decision\.json: is missing"):
        run(tmp_path)


def test_the_attempt_is_concluded_in_the_registry(tmp_path):
    one, root = attempt("one"), str(tmp_path / "registry")
    registry.begin(root, one)
    decide(tmp_path / "decision", "hold")
    evaluated(tmp_path, attempt=one.attempt)
    for _ in range(2):  # a pod that starts again
        run(tmp_path)
        [found] = registry.attempts(root, "digits")
        assert (found.outcome, found.reason, found.version) == ("held", "accuracy 0.40 is below 0.50", None)


def test_a_model_is_held_without_an_evaluation_too(tmp_path):
    """Its absence is why the gate held it."""
    decide(tmp_path / "decision", "hold")
    assert run(tmp_path).startswith("held: ")
    evaluated(tmp_path, accuracy="one made before attempts were recorded")
    assert run(tmp_path).startswith("held: ")


def test_another_registry_than_that_of_the_evaluation_is_told(tmp_path):
    decide(tmp_path / "decision", "hold")
    evaluated(tmp_path, attempt="0" * 16)
    with pytest.raises(RegistryError, match="evaluate with this registry first"):
        run(tmp_path)
