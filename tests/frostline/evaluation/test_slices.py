"""Slices by metadata: every column, every value, whatever rows hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.evaluation import slices

ROWS = [
    {"id": "a", "metadata": {"camera": "field", "site": "north"}},
    {"id": "b", "metadata": {"camera": "studio", "site": ""}},
    {"id": "c", "metadata": {"camera": "field"}},
    {"id": "d"},
]


def grouped(rows):
    found, left_out = slices.find(rows)
    return [(one.column, one.value, one.mask.tolist()) for one in found], left_out


def test_each_value_of_each_column_is_a_slice_and_a_missing_one_has_a_name():
    found, left_out = grouped(ROWS)
    assert found == [
        ("camera", "(none)", [False, False, False, True]),
        ("camera", "field", [True, False, True, False]),
        ("camera", "studio", [False, True, False, False]),
        ("site", "(none)", [False, True, True, True]),
        ("site", "north", [True, False, False, False]),
    ]
    assert left_out == []


@pytest.mark.parametrize(("values", "kept"), [(50, True), (51, False)])
def test_a_column_of_more_than_fifty_values_is_named_and_left_out(values, kept):
    rows = [{"metadata": {"serial": str(number), "a": "x"}} for number in range(values)]
    found, left_out = slices.find(rows)
    assert left_out == ([] if kept else ["serial"])
    assert sum(one.column == "serial" for one in found) == (values if kept else 0)
    assert [one.value for one in found if one.column == "a"] == ["x"]


def test_without_metadata_there_are_no_slices():
    assert grouped([{"id": "a"}, {"id": "b", "metadata": {}}]) == ([], [])
    assert grouped([]) == ([], [])


ODD = st.one_of(
    st.none(), st.text(max_size=3), st.integers(), st.dictionaries(st.text(max_size=3), st.none() | st.text(max_size=3))
)


@given(st.lists(st.one_of(st.just({}), ODD.map(lambda value: {"metadata": value})), max_size=12))
def test_the_slices_of_a_column_part_the_rows_whatever_they_hold(rows):
    found, _ = slices.find(rows)
    for column in {one.column for one in found}:
        masks = [one.mask for one in found if one.column == column]
        assert (sum(mask.astype(int) for mask in masks) == 1).all()
        assert all(mask.any() for mask in masks)
    assert [(one.column, one.value) for one in found] == sorted({(one.column, one.value) for one in found})
