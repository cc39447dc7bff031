"""Metrics against scikit-learn, and what they refuse."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm
from sklearn import metrics as reference

from frostline.errors import DataError
from frostline.evaluation import metrics


def predictions(seed, examples, classes, skill=1.5):
    """[examples] labels and [examples, classes] float64 probabilities; some classes may have no example."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, random.integers(1, classes + 1), examples)
    logits = random.normal(size=(examples, classes))
    logits[np.arange(examples), labels] += skill
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def names(classes):
    return [f"class {number}" for number in range(classes)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(2, 12), st.floats(-1, 4))
def test_everything_equals_scikit_learn(seed, examples, classes, skill):
    labels, probabilities = predictions(seed, examples, classes, skill)
    found = metrics.classification(labels, probabilities, names(classes), 0.95)
    predicted, every = probabilities.argmax(axis=1), range(classes)
    top_k = (
        reference.accuracy_score(labels, predicted)
        if classes == 2
        else reference.top_k_accuracy_score(labels, probabilities, k=min(5, classes - 1), labels=every)
    )
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "top_k": top_k,
        "macro_f1": reference.f1_score(labels, predicted, labels=every, average="macro", zero_division=0),
        "log_loss": reference.log_loss(labels, probabilities, labels=every),
        "brier": reference.brier_score_loss(labels, probabilities, labels=every, scale_by_half=False),
    }
    assert found["examples"] == examples
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-9), name
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
    assert found["confusion"] == reference.confusion_matrix(labels, predicted, labels=every).tolist()
    json.dumps(found, allow_nan=False)


def test_float32_probabilities_give_what_float64_ones_give():
    labels, probabilities = predictions(3, 500, 6)
    narrow = probabilities.astype(np.float32)
    found = metrics.classification(labels, narrow, names(6), 0.95)
    assert found == metrics.classification(labels, narrow.astype(np.float64), names(6), 0.95)


def test_of_equal_probabilities_the_lower_index_comes_first_as_in_the_accuracy():
    probabilities = np.full((3, 2), 0.5, np.float32)
    found = metrics.classification(np.array([0, 0, 1]), probabilities, names(2), 0.95)
    assert found["top_k"]["k"] == 1
    assert found["top_k"]["value"] == found["accuracy"]["value"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("classes", "k"), [(2, 1), (3, 2), (6, 5), (1000, 5)])
def test_k_leaves_at_least_one_class_out(classes, k):
    labels, probabilities = predictions(1, 20, classes)
    assert metrics.classification(labels, probabilities, names(classes), 0.95)["top_k"]["k"] == k


def test_a_mean_has_its_normal_interval():
    values = np.random.default_rng(5).exponential(size=400)
    found = metrics.mean(values, 0.9)
    expected = norm.interval(0.9, values.mean(), values.std(ddof=1) / 20)
    assert (found["low"], found["high"]) == pytest.approx(expected, abs=1e-12)
    assert found["method"] == "normal"


def test_intervals_of_losses_equal_a_bootstrap_and_stay_in_range():
    labels, probabilities = predictions(11, 2000, 5)
    found = metrics.classification(labels, probabilities, names(5), 0.95)
    values = metrics.losses(labels, probabilities)
    drawn = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(0), n_resamples=5000)
    assert found["log_loss"]["low"] == pytest.approx(drawn.confidence_interval.low, abs=0.004)
    assert found["log_loss"]["high"] == pytest.approx(drawn.confidence_interval.high, abs=0.004)
    hopeless = metrics.classification(
        np.array([0, 0, 1]), np.array([[0.0, 1.0], [0.0, 1.0], [0.5, 0.5]]), names(2), 0.95
    )
    assert hopeless["brier"]["high"] == 2.0
    assert hopeless["log_loss"]["low"] >= 0.0


def test_one_value_alone_has_no_width():
    assert metrics.mean(np.array([0.25]), 0.95) == {"value": 0.25, "low": 0.25, "high": 0.25, "method": "normal"}


def test_one_certain_mistake_costs_a_bounded_loss():
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    loss = metrics.losses(np.array([0, 1]), probabilities).mean()
    assert loss == pytest.approx(-math.log(metrics.EPSILON) / 2, rel=1e-6)
    assert loss == pytest.approx(reference.log_loss([0, 1], probabilities), rel=1e-5)  # float32 in scikit-learn


def test_the_same_input_gives_the_same_output():
    labels, probabilities = predictions(2, 400, 4)
    first, second = (metrics.classification(labels, probabilities, names(4), 0.95) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.5])
def test_a_probability_that_is_none_is_refused(value):
    for probabilities in ([[value, 0.5]], [[0.5, value]]):
        with pytest.raises(DataError, match=r"not a number in 0\.\.1"):
            metrics.classification(np.array([0]), np.array(probabilities), names(2), 0.95)
        with pytest.raises(DataError, match=r"not a number in 0\.\.1"):
            metrics.losses(np.array([0]), np.array(probabilities))


def test_shapes_and_ranges_are_checked():
    labels = np.array([0, 1, 2])
    with pytest.raises(DataError, match=r"received shapes \(3,\) and \(2,\)"):
        metrics.accuracy(labels, labels[:2], 0.95)
    with pytest.raises(DataError, match="received shapes"):
        metrics.accuracy(labels[:0], labels[:0], 0.95)
    with pytest.raises(DataError, match=r"labels: received an index in -1\.\.1"):
        metrics.losses(np.array([-1, 1]), np.full((2, 2), 0.5))
    with pytest.raises(DataError, match=r"expected \[examples, classes\]"):
        metrics.losses(labels, np.full(3, 0.5))
    with pytest.raises(DataError, match="received 2 probabilities per example; expected 3"):
        metrics.classification(np.array([0]), np.full((1, 2), 0.5), names(3), 0.95)
    for values in (np.array([]), np.array([1.0, np.nan]), np.ones((2, 2))):
        with pytest.raises(DataError, match="expected at least one, all finite"):
            metrics.mean(values, 0.95)
