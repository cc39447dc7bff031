"""The confusion matrix and what is read off it, against scikit-learn and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap
from sklearn import metrics as reference

from frostline.errors import DataError
from frostline.evaluation import confusion
from frostline.evaluation.intervals import wilson

PAIRS = st.integers(2, 8).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=60),
    )
)


@settings(max_examples=50, deadline=None)
@given(PAIRS)
def test_each_class_equals_scikit_learn(pairs):
    classes, both = pairs
    labels, predicted = np.array(both).T
    cells = confusion.matrix(labels, predicted, classes)
    every = list(range(classes))
    assert (cells == reference.confusion_matrix(labels, predicted, labels=every)).all()
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0
    )
    rows = confusion.per_class(cells, [str(number) for number in every], 0.95)
    assert [row["examples"] for row in rows] == support.tolist()
    assert [row["predicted"] for row in rows] == np.bincount(predicted, minlength=classes).tolist()
    assert [row["f1"] for row in rows] == pytest.approx(f1, abs=1e-9)
    for row, of_precision, of_recall in zip(rows, precision, recall, strict=True):
        assert (row["precision"] is None) == (row["predicted"] == 0)
        assert (row["recall"] is None) == (row["examples"] == 0)
        assert (row["precision"] or {"value": 0})["value"] == pytest.approx(of_precision, abs=1e-9)
        assert (row["recall"] or {"value": 0})["value"] == pytest.approx(of_recall, abs=1e-9)
    macro = confusion.macro_f1(cells, 0.95)
    expected = reference.f1_score(labels, predicted, labels=every, average="macro", zero_division=0)
    assert macro["value"] == pytest.approx(expected, abs=1e-9)
    assert 0.0 <= macro["low"] <= macro["value"] <= macro["high"] <= 1.0


def test_precision_and_recall_have_wilson_intervals():
    cells = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    first, _, absent = confusion.per_class(cells, ["a", "b", "c"], 0.9)
    assert first["precision"] == wilson(8, 9, 0.9)
    assert first["recall"] == wilson(8, 10, 0.9)
    assert (absent["precision"], absent["recall"], absent["f1"]) == (None, None, 0.0)


def test_the_interval_of_macro_f1_is_that_of_resampled_examples():
    random = np.random.default_rng(8)
    labels = random.integers(0, 4, 600)
    predicted = np.where(random.random(600) < 0.7, labels, random.integers(0, 4, 600))
    found = confusion.macro_f1(confusion.matrix(labels, predicted, 4), 0.95)
    drawn = bootstrap(
        (labels, predicted),
        lambda one, other: reference.f1_score(one, other, labels=range(4), average="macro", zero_division=0),
        paired=True, vectorized=False, n_resamples=400, method="percentile", rng=random,
    )  # fmt: skip
    assert found["low"] == pytest.approx(drawn.confidence_interval.low, abs=0.012)
    assert found["high"] == pytest.approx(drawn.confidence_interval.high, abs=0.012)
    assert found["high"] - found["low"] > 0.05


def test_indexes_out_of_range_are_refused():
    labels = np.array([0, 1, 2])
    with pytest.raises(DataError, match=r"predictions: received an index in 0\.\.2; expected 0\.\.1"):
        confusion.matrix(np.array([0, 1, 1]), labels, 2)
    with pytest.raises(DataError, match=r"labels: received an index in 0\.\.2; expected 0\.\.1"):
        confusion.matrix(labels, np.array([0, 1, 1]), 2)
    with pytest.raises(DataError, match="received shapes"):
        confusion.matrix(labels, labels[:2], 3)
