"""Charts: a point lies where its value says, and the axes have few, different levels that enclose all points."""

import pytest

from frostline.reporting import charts

from tests.support.reports import FOUR_EPOCHS as HISTORY


def test_a_point_of_a_curve_lies_where_its_epoch_and_value_say():
    curve = charts.curve(HISTORY, "loss")
    frame = curve["frame"]
    assert [text for _, text in curve["y_ticks"]] == ["0.5", "1", "1.5", "2"]
    (left, top), *_, (right, bottom) = curve["lines"]["train"]
    assert (top, bottom) == (frame["top"], frame["bottom"])  # 2 and 0.5 are the outermost levels
    assert left - frame["left"] == pytest.approx(frame["right"] - right, abs=0.11)
    ticks = dict(map(reversed, curve["x_ticks"]))
    assert list(ticks) == ["2", "4"]
    assert [x for x, _ in curve["lines"]["train"]][1::2] == list(ticks.values())
    assert {y for _, y in curve["lines"]["validation"]} == {dict(map(reversed, curve["y_ticks"]))["1"]}
    assert curve["phases"] == [(pytest.approx(ticks["2"] + (ticks["4"] - ticks["2"]) / 4, abs=0.1), 2)]


@pytest.mark.parametrize(
    "values", [[0.0], [1.0], [0.3, 0.3], [1.0, 0.9999999], [1e-9, 1e6], [0.01, 0.99], [0.96, 0.98]]
)
@pytest.mark.parametrize("epochs", [1, 2, 7, 250])
def test_every_curve_has_few_levels_that_enclose_it_and_say_different_things(values, epochs):
    history = [{"epoch": n + 1, "phase": 1, "loss": values[n % len(values)]} for n in range(epochs)]
    curve = charts.curve(history, "loss")
    for ticks in (curve["x_ticks"], curve["y_ticks"]):
        assert len({text for _, text in ticks}) == len(ticks) <= 5
        assert max(len(text) for _, text in ticks) <= 7
    assert all(text == str(int(text)) for _, text in curve["x_ticks"])
    assert curve["x_ticks"]
    frame = curve["frame"]
    assert all(frame["top"] <= y <= frame["bottom"] for _, y in curve["lines"]["train"])
    assert all(frame["left"] < x < frame["right"] for x, _ in curve["lines"]["train"])


def test_an_accuracy_that_stays_at_one_has_no_level_above_it():
    assert charts.curve([{"epoch": 1, "phase": 1, "accuracy": 1.0}], "accuracy")["y_ticks"][-1][1] == "1"


def test_a_value_that_is_not_finite_leaves_a_gap():
    history = [{**HISTORY[0], "loss": float("nan")}, *HISTORY[1:]]
    assert len(charts.curve(history, "loss")["lines"]["train"]) == 3
