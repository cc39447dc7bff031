"""Sections: what they take back from KFP, and the one line that they answer everything else with."""

from typing import Annotated

import pytest
from pydantic import BeforeValidator, Field

from frostline.errors import ConfigError
from frostline.section import Integer, ModelName, Number, Section, Text, as_tuple, check_model_name, parse


class Inner(Section):
    names: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ("a",)
    limit: Number = Field(0.5, gt=0.0)


class Outer(Section):
    count: Integer = 3
    name: ModelName = "digits"
    place: Text = ""
    inner: Inner = Inner()
    rows: Annotated[tuple[Inner, ...], BeforeValidator(as_tuple)] = ()


def refusal(value, field=""):
    with pytest.raises(ConfigError) as caught:
        parse(Outer, value, field=field)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_floats_and_lists_become_the_integers_and_tuples_that_they_were_before_kfp():
    outer = parse(Outer, {"count": 4.0, "inner": {"names": ["b", "c"], "limit": 2.0}})
    assert outer == Outer(count=4, inner=Inner(names=("b", "c"), limit=2.0))
    assert type(outer.count) is int
    assert refusal({"count": 4.5}).startswith("count: received 4.5; input should be a valid integer")


@pytest.mark.parametrize(("text", "number"), [("1e-3", 0.001), ("1E5", 1e5), ("2.e+2", 200.0)])
def test_a_number_with_an_exponent_may_have_no_point(text, number):
    assert parse(Inner, {"limit": text}).limit == number


@pytest.mark.parametrize("text", ["-1e3", "1e", "e3", "0x1e3", "1e3 ", "\u0661e\u0663"])
def test_other_text_is_not_a_number(text):
    assert refusal({"inner": {"limit": text}}).startswith(f"inner.limit: received {text!r}; input should be a valid")


@pytest.mark.parametrize("number", [2**31, 1e300, 10**400])
def test_an_integer_fits_in_32_bits(number):
    assert refusal({"count": number}).endswith("; input should be less than or equal to 2147483647")
    assert parse(Outer, {"count": 2.0**31 - 1}).count == 2**31 - 1


@pytest.mark.parametrize("text", ["a\0b", "\0", "\udcff", "\ud83d\ude00"])
def test_a_text_can_be_a_path_and_can_be_stored(text):
    assert refusal({"place": text}).startswith(f"place: received {text!r}; expected text without null characters")
    assert parse(Outer, {"place": "caf\u00e9 \U0001f600"}).place == "caf\u00e9 \U0001f600"


def test_an_error_names_the_field_inside_its_section():
    assert refusal({"inner": {"limit": 0.0}}, "data") == (
        "data.inner.limit: received 0.0; input should be greater than 0"
    )
    assert refusal({"rows": [{}, {"limit": "x"}]}).startswith("rows.1.limit: received 'x'")
    assert refusal(3) == "configuration: received 3; expected a mapping"


@pytest.mark.parametrize(
    ("value", "field", "known"),
    [
        ({"colour": 1}, "colour", "count, name, place, inner, rows"),
        ({"inner": {"colour": 1}}, "inner.colour", "names, limit"),
        ({"rows": [{"colour": 1}]}, "rows.0.colour", "names, limit"),
    ],
)
def test_an_unknown_key_is_refused_with_the_known_ones_of_its_section(value, field, known):
    assert refusal(value) == f"{field}: received 1; unknown key; known keys are {known}"


@pytest.mark.parametrize(
    ("value", "said"), [({"inner": {"names": "a"}}, "expected a list"), ({"inner": 3}, "expected a mapping")]
)
def test_messages_do_not_speak_of_pythons_types(value, said):
    assert refusal(value).endswith(f"; {said}")


@pytest.mark.parametrize("name", ["a", "digits-2", "0" * 63])
def test_a_model_name_is_a_label_of_kubernetes(name):
    assert check_model_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "a\n", "0" * 64, "é"])
def test_any_other_model_name_is_refused(name):
    with pytest.raises(ValueError, match="expected 1 to 63 lower-case letters, digits and hyphens"):
        check_model_name(name)


def test_a_section_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Outer().count = 4
