"""Early stopping: which epoch was the best, and when to stop waiting for a better one."""

import json
import math

import pytest

from frostline.errors import ConfigError
from frostline.training.early_stopping import EarlyStopping


def follow(stopping, values):
    """Which epochs, counted from 1, were the best so far when they came."""
    return [
        epoch
        for epoch, value in enumerate(values, start=1)
        if stopping.update(epoch, {stopping.monitor: value, "x": 0})
    ]


def test_a_lower_loss_is_better():
    stopping = EarlyStopping(2, "validation_loss")
    assert follow(stopping, [1.0, 0.8, 0.9, 0.7]) == [1, 2, 4]
    assert (stopping.best, stopping.best_epoch) == (0.7, 4)


def test_a_higher_accuracy_is_better():
    stopping = EarlyStopping(2, "validation_accuracy")
    assert follow(stopping, [0.5, 0.6, 0.4, 0.7]) == [1, 2, 4]
    assert (stopping.best, stopping.best_epoch) == (0.7, 4)


def test_it_is_done_when_patience_epochs_in_a_row_brought_nothing_better():
    stopping = EarlyStopping(3, "validation_loss")
    follow(stopping, [1.0, 1.1, 1.2, 0.9, 1.0, 1.0])
    assert not stopping.done
    follow(stopping, [1.0])
    assert stopping.done


def test_a_tie_is_no_improvement():
    for monitor in ("validation_loss", "validation_accuracy"):
        stopping = EarlyStopping(2, monitor)
        assert follow(stopping, [0.5, 0.5, 0.5]) == [1]
        assert stopping.done


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_never_the_best(value):
    for monitor in ("validation_loss", "validation_accuracy"):
        stopping = EarlyStopping(2, monitor)
        assert follow(stopping, [value, 0.5, value]) == [2]
        assert follow(EarlyStopping(2, monitor), [value, value]) == []


def test_epochs_before_the_first_finite_value_count_as_waiting():
    stopping = EarlyStopping(2, "validation_loss")
    follow(stopping, [math.nan, math.nan])
    assert stopping.done
    assert (stopping.best, stopping.best_epoch) == (None, 0)


def test_without_patience_nothing_is_looked_at_and_it_is_never_done():
    stopping = EarlyStopping(0, "validation_loss")
    assert not any(stopping.update(epoch, {}) for epoch in range(50))
    assert not stopping.done
    assert stopping == EarlyStopping(0, "validation_loss")


def test_a_row_without_validation_tells_what_to_set():
    with pytest.raises(ConfigError) as caught:
        EarlyStopping(3, "validation_accuracy").update(1, {"loss": 0.1})
    assert str(caught.value) == (
        "training.patience: received 3; validation_accuracy needs validation images: "
        "set data.validation_fraction above 0, or patience to 0"
    )


@pytest.mark.parametrize("stop", range(5))
def test_one_that_is_restored_goes_on_as_if_nothing_had_happened(stop):
    values = [1.0, 0.9, 0.95, 0.9]
    whole = EarlyStopping(2, "validation_loss")
    follow(whole, values)
    first = EarlyStopping(2, "validation_loss")
    follow(first, values[:stop])
    second = EarlyStopping(2, "validation_loss")
    second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    for epoch, value in enumerate(values[stop:], start=stop + 1):
        second.update(epoch, {"validation_loss": value})
    assert second == whole
