"""The head section: what is accepted, and one line for everything that is not."""

import pytest

from frostline.errors import ConfigError
from frostline.model.config import HeadConfig
from frostline.section import parse


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"hidden": [0]}, "head: received {'hidden': [0]}; hidden: every layer needs at least 1 unit; received [0]"),
        ({"hidden": [64, -1]}, "every layer needs at least 1 unit; received [64, -1]"),
        ({"hidden": 64}, "head.hidden: received 64; expected a list"),
        ({"hidden": [8.5]}, "head.hidden.0: received 8.5; input should be a valid integer"),
        ({"dropout": 1.0}, "head.dropout: received 1.0; input should be less than 1"),
        ({"dropout": -0.1}, "head.dropout: received -0.1; input should be greater than or equal to 0"),
        ({"units": [8]}, "head.units: received [8]; unknown key; known keys are hidden, dropout"),
    ],
)
def test_bad_input_is_one_line_that_names_the_field_and_what_was_received(value, message):
    with pytest.raises(ConfigError) as caught:
        parse(HeadConfig, value, field="head")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_kfp_makes_of_a_section_is_read_back():
    assert parse(HeadConfig, {"hidden": [64.0, 32.0], "dropout": 0}) == HeadConfig(hidden=(64, 32), dropout=0.0)
    assert parse(HeadConfig, {}) == HeadConfig(hidden=(), dropout=0.0)


def test_every_field_is_described():
    assert all(field.description for field in HeadConfig.model_fields.values())
