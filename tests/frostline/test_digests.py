"""Digests: of bytes, files and JSON values, the same for the same content however it is written."""

import hashlib

import pytest

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
