"""The gate: what it promotes, what it holds, and that broken evidence never promotes and never loses the decision."""

import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline import artifacts, gate
from frostline.errors import ConfigError
from frostline.evaluation import compare, metrics, slices

from tests.support import evaluations, reports
from tests.support.evaluations import CERTIFICATE, CONFIG, EVALUATION, VALIDATION, changed, check, decide, evaluated

NAMES = [
    "evidence", "freeze", "data", "leakage", "skew", "accuracy", "classes", "slices_floor", "champion", "slices",
    "calibration", "latency", "size",
]  # fmt: skip
LIMITS = {
    "min_class_recall": 0.7, "min_slice_accuracy": 0.7, "max_calibration_error": 0.1, "max_latency_ms": 100.0,
    "max_size_mb": 100.0,
}  # fmt: skip


def test_good_evidence_promotes():
    decision = decide()
    assert decision["verdict"] == "promote"
    assert decision["model_digest"] == "new"
    assert decision["approval"] == "none"
    assert decision["notes"] == []
    assert decision["examples_needed"] is None
    assert [(item["name"], item["verdict"]) for item in decision["checks"]] == [(name, "pass") for name in NAMES]
    assert all(item.keys() == {"name", "verdict", "value", "limit", "reason"} for item in decision["checks"])
    assert decision["reason"] == f"{check(decision, 'accuracy')['reason']}; {check(decision, 'champion')['reason']}"
    assert "95 %" in decision["reason"]
    assert "version 3" in decision["reason"]


def test_a_limit_that_is_off_is_shown_as_such():
    decision = decide(min_accuracy=0.0, min_agreement=0.0)
    off = [item["name"] for item in decision["checks"] if item["reason"] == "no limit set"]
    assert off == ["skew", "accuracy", "classes", "slices_floor", "calibration", "latency", "size"]
    assert decision["verdict"] == "promote"


def test_good_evidence_passes_every_limit():
    decision = decide(**LIMITS)
    assert decision["verdict"] == "promote"
    assert not [item["name"] for item in decision["checks"] if item["reason"] == "no limit set"]


def test_the_gate_reads_what_the_metrics_and_the_comparison_write():
    random = np.random.default_rng(2)
    labels = random.integers(0, 3, 2000)
    probabilities = random.dirichlet([1, 1, 1], 2000)
    probabilities[np.arange(2000), labels] += 1.2
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    theirs = np.where(random.random(2000) < 0.1, 0, predicted)
    groups, _ = slices.find([{"metadata": {"camera": str(number % 3)}} for number in range(2000)])
    sides = (labels, predicted, theirs)
    evaluation = {
        **evaluated(),
        "labels": ["a", "b", "c"],
        **metrics.classification(labels, probabilities, ["a", "b", "c"], 0.95),
        "slices": [
            {"column": one.column, "value": one.value, "examples": int(one.mask.sum()),
             "accuracy": metrics.accuracy(labels[one.mask], predicted[one.mask], 0.95)}
            for one in groups
        ],
        "champion": {
            **evaluations.champion(1, 1, 1, 1),
            **compare.compare(*sides, 0.95),
            "slices": [
                {"column": column, "value": value, **compare.compare(*(side[mask] for side in sides), 0.95)}
                for column, value, mask in (
                    *((one.column, one.value, one.mask) for one in groups),
                    *(("true label", name, labels == number) for number, name in enumerate("abc")),
                )
            ],
        },
    }  # fmt: skip
    decision = decide(evaluation, comparison="superiority", **(LIMITS | {"max_calibration_error": 0.5}))
    assert [item for item in decision["checks"] if item["verdict"] != "pass"] == []


def test_the_decision_says_what_was_asked_for():
    decision = decide(margin=0.03, approval="required")
    assert decision["config"] == {**CONFIG.model_dump(), "margin": 0.03, "approval": "required"}
    assert decision["approval"] == "required"


def test_a_failure_outweighs_what_is_inconclusive():
    decision = decide(evaluated(810), {**CERTIFICATE, "verified": False})
    assert check(decision, "accuracy")["verdict"] == "inconclusive"
    assert decision["verdict"] == "hold"
    assert decision["reason"] == check(decision, "freeze")["reason"]
    assert decision["examples_needed"] is None


def test_what_is_inconclusive_outweighs_what_passes_and_says_how_many_images_would_do():
    decision = decide(evaluated(82, 100), min_class_recall=0.8)
    assert decision["verdict"] == "inconclusive"
    alone = decide(evaluated(82, 100))["examples_needed"]
    assert decision["examples_needed"] > alone > 100


def test_one_inconclusive_check_that_no_number_of_images_settles_leaves_the_number_open():
    decision = decide(evaluated(82, 100), min_class_recall=0.82)
    assert check(decision, "classes")["verdict"] == check(decision, "accuracy")["verdict"] == "inconclusive"
    assert decision["examples_needed"] is None


def test_an_accident_inside_a_check_is_a_failed_check():
    class Treacherous(dict):
        def __contains__(self, key):
            raise RuntimeError("nobody foresaw this")

    decision = decide(Treacherous(EVALUATION))
    assert decision["verdict"] == "hold"
    assert "RuntimeError: nobody foresaw this" in check(decision, "champion")["reason"]


def test_the_same_reason_is_told_once():
    lost = {"version": 3, "model_digest": "old", "comparable": False, "reason": "it knows other labels"}
    decision = decide(evaluated(champion=lost))
    assert check(decision, "slices")["verdict"] == check(decision, "champion")["verdict"] == "fail"
    assert decision["reason"] == "cannot be compared with the champion: it knows other labels"


def paths(document, prefix=()):
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (*prefix, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*prefix, key))


UNUSED = {"reason", "method", "max_difference", "accuracy_of_champion", "challenger_accuracy", "p_better", "digest"}
FREE = {"label", "column", "value"}  # any text
NEEDED = sorted(
    (
        path
        for path in paths(EVALUATION)
        if path[-1] not in UNUSED
        and not {"challenger_accuracy", "test_split"} & set(path)
        and not (path[0] == "champion" and ("accuracy" in path or ("slices" in path and "difference" in path)))
        and not (path[:2] == ("serving", "latency") and path[2:3] == (0,))
        and path[1:] != ("new_labels",)
    ),
    key=str,
)
BROKEN = [KeyError, None, math.nan, math.inf, -math.inf, -7, 10**400, 1e300, "", [], {}, "\ud800"]


def harmless(path, value):
    if path == ("champion",) and value is None:  # no champion is none
        return True
    if path == ("champion", "version"):
        return isinstance(value, int) and not isinstance(value, bool)
    if path[-1] in FREE and isinstance(value, str):
        return True
    if path in (("slices",), ("champion", "slices")) and value == []:
        return True
    if len(path) == 3 and path[0] == "champion" and path[1] == "slices" and value is KeyError:
        return True
    return len(path) == 2 and path[0] == "slices" and value is KeyError


@pytest.mark.parametrize("path", NEEDED, ids=lambda path: ".".join(map(str, path)))
def test_every_number_of_the_evaluation_is_needed_and_checked(path):
    """Each field in turn missing, NaN, infinite, out of range or of another type: held, with a written reason."""
    for value in BROKEN:
        if harmless(path, value):
            continue
        decision = decide(changed(EVALUATION, path, value), **LIMITS)
        assert decision["verdict"] == "hold", (path, value)
        assert decision["reason"]


@pytest.mark.parametrize("evidence", ["evaluation.json: is missing", {}, {"accuracy": None}, [], None, 3])
def test_no_evaluation_holds(evidence):
    decision = decide(evaluation=evidence, **LIMITS)
    assert decision["verdict"] == "hold"
    assert decision["model_digest"] is None
    assert {item["name"] for item in decision["checks"] if item["verdict"] != "fail"} == {"data"}


@pytest.mark.parametrize("name", ["leakage", "skew", "champion", "slices"])
def test_what_is_always_on_holds_without_its_evidence_even_with_every_limit_off(name):
    key = ("champion", "slices") if name == "slices" else ({"leakage": "leaked"}.get(name, name),)
    decision = decide(changed(EVALUATION, key, KeyError), min_accuracy=0.0)
    assert decision["verdict"] == "hold"
    assert check(decision, name)["verdict"] == "fail"
    assert "the evidence cannot be used" in check(decision, name)["reason"]


def test_intervals_of_another_confidence_do_not_count():
    decision = decide(evaluated(confidence=0.8))
    assert decision["verdict"] == "hold"
    assert "received 0.8; the gate asks for 0.95" in decision["reason"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(JSON, JSON, JSON, st.sampled_from(sorted(paths(EVALUATION), key=str)))
def test_whatever_the_files_hold_there_is_a_decision(first, second, third, path):
    assert decide(first, second, third)["verdict"] == "hold"
    assert decide(changed(EVALUATION, path, first), second, VALIDATION, **LIMITS)["verdict"] == "hold"
    decide(changed(EVALUATION, path, first), **LIMITS)


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
            evaluation=str(tmp_path / "evaluation"), model=str(tmp_path / "model"), info=str(tmp_path / "info"),
            gate=CONFIG.model_dump() if section is None else section, decision=str(tmp_path / "decision"),
            page=str(tmp_path / "page.md"), report=str(tmp_path / "report.html"),
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
    assert "All 13 checks passed" in review
    assert "| accuracy | pass | 0.95 | 0.8 |" in review


def test_the_validation_report_goes_with_the_decision(stage, tmp_path):
    stage()
    kept = artifacts.read_json(tmp_path / "decision/validation.json", "validation")
    assert {name: kept[name] for name in VALIDATION} == VALIDATION


def test_where_the_run_left_nothing_to_show_the_report_shows_the_decision(stage, tmp_path):
    (tmp_path / INPUTS[0]).write_text("<script>")
    assert stage()[0] is False
    page = (tmp_path / "report.html").read_text()
    assert "# Hold: the model that serves stays" in page
    assert "<script>" not in page


def test_the_report_shows_the_whole_run(stage, tmp_path):
    worst, history = reports.worst(), [{"epoch": 1, "phase": 1, "loss": 0.5, "accuracy": 0.8}]
    measured = {"model_name": "toy", **reports.evaluation()}
    artifacts.write_json(tmp_path / "evaluation/evaluation.json", "evaluation", measured)
    artifacts.write_json(tmp_path / "evaluation/worst.json", "worst", {"images": worst})
    artifacts.write_json(tmp_path / "model/freeze_plan.json", "freeze_plan", reports.plan())
    artifacts.write_json(tmp_path / "model/training.json", "training", {"sentences": ["The prefix ran once."]})
    artifacts.write_jsonl(tmp_path / "model/training.jsonl", history)
    _, decision = stage()
    page = (tmp_path / "report.html").read_text()
    assert decision["verdict"] in page.lower()
    assert worst[0]["thumbnail"] in page
    assert "The prefix ran once." in page


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
    artifacts.write_json(tmp_path / "evaluation/evaluation.json", "evaluation", evaluated(82, 100))
    promoted, decision = stage()
    assert (promoted, decision["verdict"]) == (False, "inconclusive")


def test_text_from_the_evidence_stays_inside_its_cell(stage, tmp_path):
    hostile = "a | b\n# <script>alert(1)</script> ![x](http://example.org) `c` \\| \x1b[2J"
    lost = {"version": 3, "model_digest": "old", "comparable": False, "reason": hostile}
    row = evaluations.row(hostile, 4, 5)
    evaluation = evaluated(champion=lost, per_class=[row, evaluations.row("dog", 900, 995)])
    artifacts.write_json(tmp_path / "evaluation/evaluation.json", "evaluation", evaluation)
    promoted, decision = stage()
    review = (tmp_path / "decision/decision.md").read_text()
    assert promoted is False
    assert "\n" not in decision["reason"]
    assert any("script" in note for note in decision["notes"])
    assert "<script" not in review
    assert "![" not in review
    (line,) = [line for line in review.splitlines() if line.startswith("| champion")]
    assert line.replace("\\\\", "").replace("\\|", "").count("|") == 6
    assert "\x1b" not in review


def test_a_wrong_gate_section_is_a_configuration_error(stage, tmp_path):
    with pytest.raises(ConfigError, match=r"gate\.margin: received -1"):
        stage({**CONFIG.model_dump(), "margin": -1})
    assert not (tmp_path / "page.md").exists()


def test_deciding_loads_neither_tensorflow_nor_what_reads_data():
    code = (
        "import sys; from frostline import calibration, compare, confusion, gate, metrics, registry, slices; "
        "print(sorted({'tensorflow', 'keras', 'scipy', 'sklearn', 'pyarrow', 'kfp'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
