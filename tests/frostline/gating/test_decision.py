"""The decision: what is promoted, what is held; broken evidence never promotes and never loses the decision."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline.evaluation import compare, metrics, slices
from frostline.gating.decision import load

from tests.support import evaluations
from tests.support.evaluations import CERTIFICATE, CONFIG, EVALUATION, VALIDATION, changed, check, decide, evaluated

NAMES = [
    "consistency", "freeze", "data", "leakage", "skew", "accuracy", "classes", "slices_floor", "champion", "drift",
    "slices", "calibration", "latency", "size",
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
    evaluation["reference"] = evaluations.reference(evaluation["champion"])
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


def test_what_is_inconclusive_outweighs_what_passes_and_says_how_many_images_are_needed():
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


def test_the_same_reason_is_given_once():
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
FREE = {"label", "column", "value", "replaces"}  # any text
AGAINST = ("champion", "reference")
NEEDED = sorted(
    (
        path
        for path in paths(EVALUATION)
        if path[-1] not in UNUSED
        and not {"challenger_accuracy", "test_split"} & set(path)
        and not (path[0] in AGAINST and ("accuracy" in path or ("slices" in path and "difference" in path)))
        and not (path[:2] == ("serving", "latency") and path[2:3] == (0,))
        and path[1:] != ("new_labels",)
    ),
    key=str,
)
BROKEN = [KeyError, None, math.nan, math.inf, -math.inf, -7, 10**400, 1e300, "", [], {}, "\ud800"]


def harmless(path, value):
    if path == ("champion",) and value is None:  # no champion is none
        return True
    if path == ("reference", "version"):  # another reference, with the same comparison
        return isinstance(value, int) and not isinstance(value, bool)
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


@pytest.mark.parametrize("evaluation", ["evaluation.json: is missing", {}, {"accuracy": None}, [], None, 3])
def test_no_evaluation_holds(evaluation):
    decision = decide(evaluation=evaluation, **LIMITS)
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
    assert "received 0.8; the gate needs 0.95" in decision["reason"]


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


def test_evidence_is_a_document_or_the_reason_in_one_line_why_there_is_none(tmp_path):
    path = tmp_path / "evaluation.json"
    assert load(path, "evaluation") == f"{path}: is missing; expected a frostline/evaluation/v1 file"
    path.write_text('{"schema": "frostline/evaluation/v1", "examples": 3}')
    assert load(path, "evaluation")["examples"] == 3
    path.write_text('{"schema": "frostline/\\n/v1"}')
    assert "received schema 'frostline/\\n/v1'; this version reads" in load(path, "evaluation")
    path.write_text("{" + "\n" * 9)
    assert "\n" not in load(path, "evaluation")
