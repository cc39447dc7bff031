"""The gate: what it promotes, what it holds, and that broken evidence never promotes and never loses the decision."""

import copy
import json
import math
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline import artifacts, gate
from frostline.compare import paired_difference
from frostline.config import GateConfig
from frostline.errors import ConfigError
from frostline.metrics import wilson

CONFIG = GateConfig(min_accuracy=0.8, margin=0.02, confidence=0.95)
CERTIFICATE = {"verified": True, "frozen_tensors": 12, "moved": [], "model_digest": "new"}
VALIDATION = {"valid": True, "problems": [], "warnings": []}


def compared(both, only_challenger, only_champion, neither, **changes):
    return {
        "version": 3,
        "model_digest": "old",
        "comparable": True,
        "reason": "",
        "examples": both + only_challenger + only_champion + neither,
        "both_right": both,
        "only_challenger_right": only_challenger,
        "only_champion_right": only_champion,
        "both_wrong": neither,
        "difference": paired_difference(both, only_challenger, only_champion, neither, 0.95),
        **changes,
    }


def evaluated(right=950, total=1000, champion=None, **changes):
    return {
        "model_digest": "new",
        "examples": total,
        "confidence": 0.95,
        "accuracy": wilson(right, total, 0.95),
        "champion": champion,
        **changes,
    }


EVALUATION = evaluated(champion=compared(940, 10, 5, 45))


def decide(evaluation=EVALUATION, certificate=CERTIFICATE, validation=VALIDATION):
    decision = gate.decide(evaluation, certificate, validation, CONFIG)
    json.dumps(decision, allow_nan=False)
    assert gate.markdown(decision).startswith("# ")
    return decision


def check(decision, name):
    return next(item for item in decision["checks"] if item["name"] == name)


def test_good_evidence_promotes():
    decision = decide()
    assert decision["verdict"] == "promote"
    assert decision["model_digest"] == "new"
    assert [(item["name"], item["verdict"]) for item in decision["checks"]] == [
        ("freeze", "pass"), ("data", "pass"), ("accuracy", "pass"), ("champion", "pass"),
    ]  # fmt: skip
    assert all(item.keys() == {"name", "verdict", "value", "limit", "reason"} for item in decision["checks"])
    assert "0.9500" in decision["reason"]
    assert "version 3" in decision["reason"]


@pytest.mark.parametrize(
    ("right", "verdict"),
    [(950, "promote"), (830, "promote"), (810, "inconclusive"), (790, "inconclusive"), (770, "hold")],
)
def test_the_floor_looks_at_the_interval(right, verdict):
    decision = decide(evaluated(right))
    assert decision["verdict"] == verdict
    assert check(decision, "accuracy")["value"] == right / 1000
    assert check(decision, "accuracy")["limit"] == 0.8


def test_an_interval_that_just_touches_the_floor():
    def verdict(low, high):
        accuracy = {"value": (low + high) / 2, "low": low, "high": high}
        return check(decide(evaluated(accuracy=accuracy)), "accuracy")["verdict"]

    assert verdict(0.8, 0.9) == "pass"
    assert verdict(math.nextafter(0.8, 0), 0.9) == "inconclusive"
    assert verdict(0.7, 0.8) == "inconclusive"
    assert verdict(0.7, math.nextafter(0.8, 0)) == "fail"


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((900, 50, 5, 45), "pass"),  # better
        ((940, 10, 10, 40), "pass"),  # equal, and sure of it
        ((930, 10, 25, 35), "inconclusive"),  # between
        ((880, 5, 80, 35), "fail"),  # worse
        ((94, 1, 1, 4), "inconclusive"),  # equal, but on a hundred images only
    ],
)
def test_the_champion_must_not_be_better_by_more_than_the_margin(counts, verdict):
    decision = decide(evaluated(95 * sum(counts) // 100, sum(counts), champion=compared(*counts)))
    found = check(decision, "champion")
    assert found["verdict"] == verdict
    assert (found["value"], found["limit"]) == ((counts[1] - counts[2]) / sum(counts), -0.02)
    assert decision["verdict"] == {"pass": "promote", "fail": "hold"}.get(verdict, verdict)


def test_no_champion_yet_passes():
    found = check(decide(evaluated(champion=None)), "champion")
    assert (found["verdict"], found["reason"]) == ("pass", "no champion yet")


def test_a_missing_comparison_is_not_taken_for_no_champion():
    found = check(decide(changed(EVALUATION, ("champion",), KeyError)), "champion")
    assert found["verdict"] == "fail"
    assert "champion: is missing" in found["reason"]


def test_an_accident_inside_a_check_is_a_failed_check():
    class Treacherous(dict):
        def __contains__(self, key):
            raise RuntimeError("nobody foresaw this")

    decision = decide(Treacherous(EVALUATION))
    assert decision["verdict"] == "hold"
    assert "RuntimeError: nobody foresaw this" in check(decision, "champion")["reason"]


def test_a_champion_that_cannot_be_compared_holds_with_the_reason():
    champion = {"version": 3, "model_digest": "old", "comparable": False, "reason": "it knows other labels"}
    decision = decide(evaluated(champion=champion))
    assert decision["verdict"] == "hold"
    assert decision["reason"] == "cannot be compared with the champion: it knows other labels"


def test_the_champions_own_model_passes_on_few_images():
    decision = decide(evaluated(95, 100, champion=compared(95, 0, 0, 5, model_digest="new")))
    assert decision["verdict"] == "promote"
    assert check(decision, "champion")["reason"] == "it is the same model as the champion"


def test_a_failure_outweighs_what_is_inconclusive():
    decision = decide(evaluated(810), {**CERTIFICATE, "verified": False})
    assert check(decision, "accuracy")["verdict"] == "inconclusive"
    assert decision["verdict"] == "hold"
    assert decision["reason"] == check(decision, "freeze")["reason"]


@pytest.mark.parametrize(
    ("certificate", "told"),
    [
        ({**CERTIFICATE, "verified": False, "moved": ["stem/0:kernel"]}, "moved (stem/0:kernel)"),
        ({**CERTIFICATE, "moved": ["stem/0:kernel"]}, "moved (stem/0:kernel)"),
        ({**CERTIFICATE, "model_digest": "other"}, "for another model"),
        ({**CERTIFICATE, "verified": "true"}, "verified: received 'true'"),
        ({**CERTIFICATE, "verified": 1}, "verified: received 1"),
        ({**CERTIFICATE, "frozen_tensors": -1}, "frozen_tensors: received -1"),
        ("freeze_certificate.json: is missing", "freeze_certificate.json: is missing"),
        ({}, "verified"),
    ],
)
def test_the_certificate_must_prove_this_model(certificate, told):
    decision = decide(certificate=certificate)
    assert decision["verdict"] == "hold"
    assert told in check(decision, "freeze")["reason"]


@pytest.mark.parametrize("key", sorted(CERTIFICATE))
def test_each_part_of_the_certificate_is_needed(key):
    assert decide(certificate={name: value for name, value in CERTIFICATE.items() if name != key})["verdict"] == "hold"


@pytest.mark.parametrize(
    "validation",
    [{"valid": False, "problems": ["class 'owl'"]}, {"valid": True, "problems": ["x"]}, {"valid": None}, {}, "missing"],
)
def test_the_data_must_be_valid(validation):
    decision = decide(validation=validation)
    assert (decision["verdict"], check(decision, "data")["verdict"]) == ("hold", "fail")


def paths(document, prefix=()):
    for key, value in document.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from paths(value, (*prefix, key))


def changed(document, path, value):
    result = copy.deepcopy(document)
    target = result
    for key in path[:-1]:
        target = target[key]
    if value is KeyError:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return result


UNUSED = {("champion", "reason"), ("champion", "difference", "method"), ("accuracy", "method")}
BROKEN = [KeyError, None, math.nan, math.inf, -math.inf, -7, 10**400, 1e300, "", [], {}, "\ud800"]
HARMLESS = [(("champion",), None), (("champion", "version"), -7), (("champion", "version"), 10**400)]


@pytest.mark.parametrize("path", sorted(set(paths(EVALUATION)) - UNUSED), ids=".".join)
def test_every_number_of_the_evaluation_is_needed_and_checked(path):
    """Each field in turn missing, NaN, infinite, out of range or of another type: held, with a written reason."""
    for value in BROKEN:
        if (path, value) in HARMLESS:
            continue
        decision = decide(changed(EVALUATION, path, value))
        assert decision["verdict"] == "hold", (path, value)
        assert decision["reason"]


@pytest.mark.parametrize("evidence", ["evaluation.json: is missing", {}, {"accuracy": None}, [], None, 3])
def test_no_evaluation_holds(evidence):
    decision = decide(evaluation=evidence)
    assert decision["verdict"] == "hold"
    assert decision["model_digest"] is None
    assert [item["verdict"] for item in decision["checks"]] == ["fail", "pass", "fail", "fail"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"both_right": 941}, "do not sum"),
        ({"both_right": 840, "examples": 900, "difference": paired_difference(840, 10, 5, 45, 0.95)}, "received 900"),
        ({"difference": {"value": 0.5, "low": 0.4, "high": 0.6}}, "not that of the counts"),
        ({"difference": {"value": 0.005, "low": 0.01, "high": 0.02}}, "low <= value <= high"),
    ],
)
def test_a_comparison_that_contradicts_itself_fails(change, told):
    decision = decide(evaluated(champion={**EVALUATION["champion"], **change}))
    assert told in check(decision, "champion")["reason"]
    assert decision["verdict"] == "hold"


def test_intervals_of_another_confidence_do_not_count():
    decision = decide(evaluated(confidence=0.8))
    assert decision["verdict"] == "hold"
    assert "received 0.8; the gate asks for 0.95" in decision["reason"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200)
@given(JSON, JSON, JSON, st.sampled_from(sorted(set(paths(EVALUATION)) - UNUSED)))
def test_whatever_the_files_hold_there_is_a_decision(first, second, third, path):
    assert decide(first, second, third)["verdict"] == "hold"
    assert decide(changed(EVALUATION, path, first), second, VALIDATION)["verdict"] == "hold"


@pytest.fixture
def stage(tmp_path):
    """Writes the three inputs and runs the stage on them."""
    for name in ("evaluation", "model", "info"):
        (tmp_path / name).mkdir()
    artifacts.write_json(tmp_path / "evaluation/evaluation.json", "evaluation", EVALUATION)
    artifacts.write_json(tmp_path / "model/freeze_certificate.json", "freeze_certificate", CERTIFICATE)
    artifacts.write_json(tmp_path / "info/report.json", "validation", VALIDATION)

    def run(section=None):
        promoted = gate.run(
            str(tmp_path / "evaluation"), str(tmp_path / "model"), str(tmp_path / "info"),
            CONFIG.model_dump() if section is None else section, str(tmp_path / "decision"), str(tmp_path / "page.md"),
        )  # fmt: skip
        return promoted, artifacts.read_json(tmp_path / "decision/decision.json", "decision")

    return run


INPUTS = ["evaluation/evaluation.json", "model/freeze_certificate.json", "info/report.json"]


def test_the_stage_writes_the_decision_and_its_review(stage, tmp_path):
    promoted, decision = stage()
    assert promoted is True
    assert decision["verdict"] == "promote"
    review = (tmp_path / "decision/decision.md").read_text()
    assert (tmp_path / "page.md").read_text() == review
    assert review.startswith("# Promote: the model may replace the one that serves\n")
    assert "4 of 4 checks passed" in review
    assert "| accuracy | pass | 0.95 | 0.8 |" in review


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b"[]", b'{"schema": "frostline/other/v1"}', b"\xff\xfe\x00", b"[" * 100_000, None]
)
def test_an_input_that_is_missing_or_unreadable_holds(stage, tmp_path, name, content):
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    promoted, decision = stage()
    assert promoted is False
    assert decision["verdict"] == "hold"


@pytest.mark.parametrize("folder", ["evaluation", "model", "info"])
def test_a_missing_or_odd_artifact_holds(stage, tmp_path, folder):
    shutil.rmtree(tmp_path / folder)
    assert stage()[0] is False
    for name in INPUTS:
        if name.startswith(folder):
            (tmp_path / name).mkdir(parents=True)  # a directory where the file should be
    assert stage()[0] is False


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" * 5000])
def test_numbers_that_json_writers_let_through_hold(stage, tmp_path, number):
    path = tmp_path / "evaluation/evaluation.json"
    path.write_text(path.read_text().replace('"low": 0.9', f'"low": {number}, "was": 0.9'))
    assert number in path.read_text()
    promoted, decision = stage()
    assert (promoted, decision["verdict"]) == (False, "hold")


def test_an_inconclusive_verdict_does_not_promote(stage, tmp_path):
    artifacts.write_json(tmp_path / "evaluation/evaluation.json", "evaluation", evaluated(81, 100))
    promoted, decision = stage()
    assert (promoted, decision["verdict"]) == (False, "inconclusive")
    assert "more test images would narrow the intervals" in (tmp_path / "decision/decision.md").read_text()


def test_text_from_the_evidence_stays_inside_its_cell(stage, tmp_path):
    hostile = "a | b\n# <script>alert(1)</script> ![x](http://example.org) `c` \\| \x1b[2J"
    champion = {"version": 3, "model_digest": "old", "comparable": False, "reason": hostile}
    artifacts.write_json(tmp_path / "evaluation/evaluation.json", "evaluation", evaluated(champion=champion))
    promoted, decision = stage()
    review = (tmp_path / "decision/decision.md").read_text()
    assert promoted is False
    assert "\n" not in decision["reason"]
    assert "<script" not in review
    assert "![" not in review
    (row,) = [line for line in review.splitlines() if line.startswith("| champion")]
    assert row.replace("\\\\", "").replace("\\|", "").count("|") == 6
    assert "\x1b" not in review


def test_a_wrong_gate_section_is_a_configuration_error(stage, tmp_path):
    with pytest.raises(ConfigError, match=r"gate\.margin: received -1"):
        stage({**CONFIG.model_dump(), "margin": -1})
    assert not (tmp_path / "page.md").exists()
