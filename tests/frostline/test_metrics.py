"""Metrics against scikit-learn and SciPy, and what they refuse."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as reference

from frostline import metrics
from frostline.errors import DataError


@pytest.fixture
def predictions():
    """300 examples, 5 classes: [examples] labels and [examples, classes] probabilities that are right 2 times in 3."""
    random = np.random.default_rng(7)
    labels = random.integers(0, 5, 300)
    logits = random.normal(size=(300, 5))
    logits[np.arange(300), labels] += 1.5
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("right", "total"), [(0, 1), (0, 50), (50, 50), (1, 3), (17, 40), (285, 300), (1, 100_000)])
def test_wilson_equals_scipy(right, total, confidence):
    found = metrics.wilson(right, total, confidence)
    expected = binomtest(right, total).proportion_ci(confidence, method="wilson")
    assert found["value"] == right / total
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.51, 0.999))
def test_wilson_contains_the_value_and_stays_in_range(counts, confidence):
    found = metrics.wilson(*counts, confidence)
    assert 0.0 <= found["low"] <= found["value"] <= found["high"] <= 1.0
    assert found["low"] < found["high"]


@pytest.mark.parametrize(("right", "total"), [(0, 0), (3, 2), (-1, 5)])
def test_no_proportion_without_trials(right, total):
    with pytest.raises(DataError, match=f"received {right} right of {total}"):
        metrics.wilson(right, total, 0.95)


def test_everything_equals_scikit_learn(predictions):
    labels, probabilities = predictions
    predicted = probabilities.argmax(axis=1)
    assert metrics.accuracy(labels, predicted, 0.95)["value"] == pytest.approx(
        reference.accuracy_score(labels, predicted), abs=1e-9
    )
    assert metrics.log_loss(labels, probabilities) == pytest.approx(
        reference.log_loss(labels, probabilities, labels=range(5)), abs=1e-9
    )
    confusion = metrics.confusion_matrix(labels, predicted, 5)
    assert (confusion == reference.confusion_matrix(labels, predicted, labels=range(5))).all()
    precision, recall, _, support = reference.precision_recall_fscore_support(labels, predicted, labels=range(5))
    rows = metrics.per_class(confusion, list("abcde"))
    assert [row["label"] for row in rows] == list("abcde")
    assert [row["examples"] for row in rows] == list(support)
    assert [row["precision"] for row in rows] == pytest.approx(precision, abs=1e-9)
    assert [row["recall"] for row in rows] == pytest.approx(recall, abs=1e-9)
    json.dumps(rows)  # plain numbers, as the evaluation is JSON


def test_classes_without_examples_or_predictions():
    confusion = metrics.confusion_matrix(np.array([0, 0, 1]), np.array([0, 2, 0]), 3)
    assert confusion.tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    never_predicted, never_there = metrics.per_class(confusion, ["a", "b", "c"])[1:]
    assert (never_predicted["precision"], never_predicted["examples"]) == (0.0, 1)
    assert (never_there["recall"], never_there["examples"]) == (0.0, 0)


def test_one_certain_mistake_costs_a_bounded_loss():
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    loss = metrics.log_loss(np.array([0, 1]), probabilities)
    assert loss == pytest.approx(-math.log(metrics.EPSILON) / 2, rel=1e-6)
    assert loss == pytest.approx(reference.log_loss([0, 1], probabilities), rel=1e-5)  # float32 in scikit-learn


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.5])
def test_a_probability_that_is_none_is_refused(value):
    with pytest.raises(DataError, match=r"not a number in 0\.\.1"):
        metrics.log_loss(np.array([0]), np.array([[value, 0.5]]))


def test_shapes_and_ranges_are_checked():
    labels = np.array([0, 1, 2])
    with pytest.raises(DataError, match=r"received shapes \(3,\) and \(2,\)"):
        metrics.accuracy(labels, labels[:2], 0.95)
    with pytest.raises(DataError, match="received shapes"):
        metrics.accuracy(labels[:0], labels[:0], 0.95)
    with pytest.raises(DataError, match=r"predictions: received an index in 0\.\.2; expected 0\.\.1"):
        metrics.confusion_matrix(np.array([0, 1, 1]), labels, 2)
    with pytest.raises(DataError, match=r"labels: received an index in -1\.\.1"):
        metrics.log_loss(np.array([-1, 1]), np.full((2, 2), 0.5))
    with pytest.raises(DataError, match=r"expected \[examples, classes\]"):
        metrics.log_loss(labels, np.full(3, 0.5))
