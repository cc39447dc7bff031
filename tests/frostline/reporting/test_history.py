"""The chart of the chain: every evaluation in order, the champions connected, the reference marked."""

import pytest

from frostline.reporting.history import history_chart

from tests.support import reports


def chart(**changed):
    return history_chart(reports.evaluation(**changed))


def test_every_evaluation_has_a_point_and_this_model_is_the_last():
    found = chart()
    assert [point["kind"] for point in found["points"]] == ["promoted", "promoted", "held", "promoted", "now"]
    assert [point["x"] for point in found["points"]] == sorted(point["x"] for point in found["points"])
    assert [point["reference"] for point in found["points"]] == [True, False, False, False, False]
    assert found["points"][2]["text"] == "2026-11-03, held: 86.0 %"
    assert found["points"][-1]["text"] == "this model: 89.1 %"
    promoted = [(point["x"], point["y"]) for point in found["points"] if point["kind"] == "promoted"]
    assert found["champions"] == promoted


def test_a_point_lies_where_its_accuracy_says_inside_the_frame():
    found = chart()
    frame, ticks = found["frame"], {text: y for y, text in found["y_ticks"]}
    held = found["points"][2]
    (low, of_low), (high, of_high) = (
        (float(text.split()[0]) / 100, y) for text, y in (min(ticks.items()), max(ticks.items()))
    )
    for value, place in ((0.84, held["low"]), (0.86, held["y"]), (0.88, held["high"])):
        assert place == pytest.approx(of_low + (of_high - of_low) * (value - low) / (high - low), abs=0.1)
    for point in found["points"]:
        assert frame["top"] <= point["high"] < point["y"] < point["low"] <= frame["bottom"]
        assert frame["left"] < point["x"] < frame["right"]


def test_what_has_no_accuracy_has_no_point():
    rows = [{**row, "accuracy": None} if row["kind"] == "held" else row for row in reports.chain()]
    assert len(chart(chain=rows)["points"]) == 4


def test_before_the_second_evaluation_there_is_nothing_to_draw():
    assert chart(chain=[]) is None
    made_before = reports.evaluation()
    del made_before["chain"], made_before["reference"]
    assert history_chart(made_before) is None


def test_a_perfect_chain_has_levels_too():
    rate = {"value": 1.0, "low": 1.0, "high": 1.0}
    found = chart(chain=[{**row, "accuracy": rate} for row in reports.chain()], accuracy={**rate, "method": "wilson"})
    assert len({text for _, text in found["y_ticks"]}) == len(found["y_ticks"]) > 1
