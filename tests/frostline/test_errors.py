"""The exception tree: as drawn at the top of its module, with the exit codes that the command line promises."""

import re

import pytest

from frostline import errors
from frostline.errors import ConfigError, FrostlineError

CLASSES = {name: one for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, Exception)}
DRAWN = re.findall(r"^([│ ├└─]*)(\w+) +(.+)$", errors.__doc__ or "", re.MULTILINE)[1:]


def test_the_drawing_has_every_class_below_its_parent():
    drawn, parents = {}, {-1: Exception}
    for branches, name, _ in DRAWN:
        level = len(branches) // 4
        drawn[name] = parents[level - 1]
        parents[level] = CLASSES[name]
    assert drawn == {name: one.__base__ for name, one in CLASSES.items()}


def test_an_exit_code_is_1_unless_the_drawing_gives_another():
    codes = {name: int((re.findall(r"^exit code (\d+)", text) or ["1"])[0]) for _, name, text in DRAWN}
    assert codes == {name: one.exit_code for name, one in CLASSES.items()}
    assert set(codes.values()) == {1, 2, 143}


@pytest.mark.parametrize(
    ("received", "shown"), [("many", "'many'"), (3, "3"), (None, "None"), ("two\nlines", "'two\\nlines'")]
)
def test_a_configuration_error_names_the_field_what_was_received_and_what_is_expected(received, shown):
    error = ConfigError("training.epochs", received, "expected a number")
    assert isinstance(error, FrostlineError)
    assert str(error) == f"training.epochs: received {shown}; expected a number"
    assert (error.field, error.received, error.expected) == ("training.epochs", received, "expected a number")


def endless():
    inside = []
    for _ in range(100_000):
        inside = [inside]
    return inside


@pytest.mark.parametrize(
    ("received", "shown"),
    [
        ("x" * 298, f"'{'x' * 298}'"),
        ("x" * 299, f"'{'x' * 299}..."),
        (10**5000, "a value of type int that is too large to show"),
        ([10**5000], "a value of type list that is too large to show"),
        (endless(), "a value of type list that is too large to show"),
    ],
    ids=["short", "long", "number", "numbers", "deep"],
)
def test_a_value_of_any_size_is_shown_in_a_limited_line(received, shown):
    assert str(ConfigError("a", received, "expected less")) == f"a: received {shown}; expected less"


@pytest.mark.parametrize(
    ("field", "shown"),
    [("a\nb", "a\\nb"), ("\x1b[31m", "\\x1b[31m"), ("\udcff", "\\udcff"), ("caf\u00e9", "caf\u00e9")],
)
def test_a_field_with_control_characters_is_shown_without_them(field, shown):
    assert str(ConfigError(field, 1, "expected less")) == f"{shown}: received 1; expected less"
    assert ConfigError(field, 1, "expected less").field == field


def test_a_long_field_is_cut():
    assert str(ConfigError("k" * 1000, 1, "expected less")) == f"{'k' * 300}...: received 1; expected less"
