"""The head section: what is accepted, and one line for what is not."""

import json

import pytest

from frostline.errors import ConfigError
from frostline.model.config import HeadConfig
from frostline.section import parse


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"hidden": [0]}, "head: received {'hidden': [0]}; hidden: every layer needs at least 1 unit; received [0]"),
        ({"hidden": [8, -1]}, "every layer needs at least 1 unit; received [8, -1]"),
        ({"hidden": 8}, "head.hidden: received 8; expected a list"),
        ({"hidden": [1.5]}, "head.hidden.0: received 1.5; input should be a valid integer"),
        ({"dropout": 1.0}, "head.dropout: received 1.0; input should be less than 1"),
        ({"dropout": -0.1}, "head.dropout: received -0.1; input should be greater than or equal to 0"),
        ({"drop": 0.1}, "head.drop: received 0.1; unknown key; known keys are hidden, dropout"),
    ],
)
def test_a_wrong_head_is_refused_in_one_line_that_names_the_field(value, message):
    with pytest.raises(ConfigError) as caught:
        parse(HeadConfig, value, field="head")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_default_is_logits_alone():
    assert parse(HeadConfig, {}) == HeadConfig(hidden=(), dropout=0.0)


def test_a_head_survives_json_and_what_kfp_does_to_numbers():
    config = HeadConfig(hidden=(64, 32), dropout=0.5)
    assert parse(HeadConfig, json.loads(json.dumps(config.model_dump(mode="json")), parse_int=float)) == config


def test_every_field_is_described():
    assert all(field.description for field in HeadConfig.model_fields.values())
