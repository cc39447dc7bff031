"""Holm's procedure, against its definition and its promise."""

import itertools

import numpy as np

from frostline.gating.multiple import holm


def test_the_textbook_case():
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]


def test_it_rejects_what_bonferroni_does_and_more():
    assert holm([0.012, 0.02, 0.04], 0.05) == [True, True, True]
    assert [p <= 0.05 / 3 for p in (0.012, 0.02, 0.04)] == [True, False, False]


def test_nothing_to_test_and_nothing_to_reject():
    assert holm([], 0.05) == []
    assert holm([0.2, 0.051], 0.05) == [False, False]


def test_the_order_of_the_hypotheses_does_not_matter():
    values = [0.001, 0.02, 0.02, 0.6]
    expected = dict(zip(values, holm(values, 0.05), strict=True))
    for order in itertools.permutations(values):
        assert holm(order, 0.05) == [expected[p] for p in order]


def test_true_hypotheses_are_rejected_in_at_most_the_level_of_the_cases():
    drawn = np.random.default_rng(0).random((4000, 10))
    drawn[:, 5:] /= 1e6  # these are false
    wrong = sum(any(holm(row.tolist(), 0.05)[:5]) for row in drawn)
    assert 0.03 < wrong / len(drawn) < 0.06
