"""Digests: of bytes, files and JSON values, the same for the same content however it is written."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline import digests


def test_bytes_and_files_of_the_same_content_have_one_digest(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert (
        digests.of_bytes(data) == digests.of_bytes(memoryview(data)) == digests.of_file(tmp_path / "file") == expected
    )


def test_a_value_has_one_encoding_whatever_its_order_and_number_types():
    one = {"b": [1, 2.5, {"y": None, "x": True}], "a": 3}
    other = {"a": 3.0, "b": (1.0, 2.5, {"x": True, "y": None})}
    assert digests.canonical_json(one) == b'{"a":3,"b":[1,2.5,{"x":true,"y":null}]}'
    assert digests.of_json(one) == digests.of_json(other)


@pytest.mark.parametrize("other", [{"a": 2}, {"a": "1"}, {"a": 1, "b": None}, {"b": 1}, [["a", 1]], {"a": 1.5}])
def test_another_value_has_another_digest(other):
    assert digests.of_json(other) != digests.of_json({"a": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_what_json_cannot_hold_has_no_digest(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        digests.of_json(value)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


@given(VALUES)
def test_canonical_json_is_json_of_the_same_value(value):
    data = digests.canonical_json(value)
    assert json.loads(data) == value
    assert digests.canonical_json(json.loads(data)) == data
    assert digests.of_json(value) == hashlib.sha256(data).hexdigest()


def test_booleans_are_no_numbers_and_the_order_of_a_list_counts():
    assert digests.of_json([True]) != digests.of_json([1])
    assert digests.of_json([1, 2]) != digests.of_json([2, 1])
