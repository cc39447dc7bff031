"""The freeze section: what is accepted, how it is written down, and one line for everything that is not accepted."""

import pytest

from frostline.errors import ConfigError
from frostline.freeze.config import POLICIES, FreezeConfig, PhaseConfig, PolicyConfig
from frostline.section import parse

LATER = {"policy": {"through": "block1"}, "epochs": 2, "learning_rate": 0.001}
BAD = [
    ({"match": "("}, "match: '(' is not a regular expression"),
    ({"match": ""}, "freeze.match: received ''; string should have at least 1 character"),
    ({"through": ""}, "freeze.through: received ''; string should have at least 1 character"),
    ({"blocks": []}, "freeze.blocks: received []; expected at least one item"),
    ({"blocks": ["stem", 3]}, "freeze.blocks.1: received 3; expected text; in YAML, quote it"),
    ({"first_layers": 0}, "freeze.first_layers: received 0; input should be greater than or equal to 1"),
    ({"first_layers": 1.5}, "freeze.first_layers: received 1.5; input should be a valid integer"),
    ({"fraction": 0.0}, "freeze.fraction: received 0.0; input should be greater than 0"),
    ({"fraction": 1.1}, "freeze.fraction: received 1.1; input should be less than or equal to 1"),
    ({"none": False}, "freeze.none: received False; input should be True"),
    ({"throug": "a"}, "freeze.throug: received 'a'; unknown key; known keys are head_only, none, first_layers"),
    ("mixed7", "freeze: received 'mixed7'; expected head_only, none, or a mapping such as {through: mixed7}"),
    ("head_onl", "freeze: received 'head_onl'; did you mean head_only? expected head_only, none, or a mapping"),
    (["none"], "freeze: received ['none']; expected a mapping"),
    ({"none": True, "through": "mixed7"}, "choose exactly one policy of head_only, none, first_layers, through"),
    ({"none": True, "through": "mixed7"}, "; found none, through"),
    ({"batch_norm": "freeze"}, "; found no policy"),
    ({"none": True, "batch_norm": "thaw"}, "freeze.batch_norm: received 'thaw'; input should be 'freeze'"),
    ({"none": True, "layer_lr_decay": 1.5}, "freeze.layer_lr_decay: received 1.5; input should be less than or equal"),
    ({"none": True, "layer_lr_decay": 0.0}, "freeze.layer_lr_decay: received 0.0; input should be greater than 0"),
    ({"none": True, "phases": [{"policy": "none", "epochs": 1}]}, "freeze.phases.0.learning_rate"),
    ({"none": True, "phases": [{**LATER, "epochs": 0}]}, "freeze.phases.0.epochs: received 0; input should be greater"),
    (
        {"none": True, "phases": [LATER, {**LATER, "policy": {"throug": "a"}}]},
        "freeze.phases.1.policy.throug: received 'a'; unknown key",
    ),
]
GOOD = [
    ("head_only", {"head_only": True}),
    ("none", {"none": True}),
    ({"first_layers": 100.0}, {"first_layers": 100}),
    ({"through": "mixed7"}, {"through": "mixed7"}),
    ({"blocks": ["stem", "mixed1*"]}, {"blocks": ["stem", "mixed1*"]}),
    ({"match": "^conv"}, {"match": "^conv"}),
    ({"fraction": 1}, {"fraction": 1.0}),
]


@pytest.mark.parametrize(("value", "message"), BAD)
def test_bad_input_is_one_line_that_names_the_field_and_what_was_received(value, message):
    with pytest.raises(ConfigError) as caught:
        parse(FreezeConfig, value, field="freeze")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("value", "policy"), GOOD)
def test_every_policy_is_written_down_in_the_types_of_json(value, policy):
    config = parse(FreezeConfig, value, field="freeze")
    assert config.policy() == policy
    assert config.section() == {**policy, "batch_norm": "freeze"}
    assert parse(PolicyConfig, value).policy() == policy
    assert parse(FreezeConfig, config.section()) == config


def test_every_policy_has_a_field():
    assert [next(iter(policy)) for _, policy in GOOD] == list(POLICIES)
    assert PolicyConfig.model_fields.keys() == set(POLICIES)


def test_phases_and_the_decay_are_written_down_only_if_they_are_configured():
    section = {"head_only": True, "batch_norm": "follow", "phases": [LATER], "layer_lr_decay": 0.5}
    config = parse(FreezeConfig, section)
    assert config.section() == section
    assert list(config.section()) == list(section)  # the order in freeze_plan.json
    assert config.phases == (PhaseConfig(policy=PolicyConfig(through="block1"), epochs=2, learning_rate=0.001),)


def test_every_field_is_described():
    for section in (PolicyConfig, PhaseConfig, FreezeConfig):
        assert all(field.description for field in section.model_fields.values())
