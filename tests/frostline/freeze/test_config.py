"""The freeze section: what is accepted, what is refused in one line, and what is written of it into the plan."""

import json

import pytest

from frostline.errors import ConfigError
from frostline.freeze.config import POLICIES, FreezeConfig, PhaseConfig, PolicyConfig
from frostline.section import parse

PHASE = {"policy": {"through": "block1"}, "epochs": 2, "learning_rate": 0.01}
BAD = [
    ({"match": "("}, "freeze: received {'match': '('}; match: '(' is not a regular expression"),
    ({"match": ""}, "freeze.match: received ''; string should have at least 1 character"),
    ({"blocks": []}, "freeze.blocks: received []; expected at least one item"),
    ({"first_layers": 0}, "freeze.first_layers: received 0; input should be greater than or equal to 1"),
    ({"fraction": 0.0}, "freeze.fraction: received 0.0; input should be greater than 0"),
    ({"fraction": 1.1}, "freeze.fraction: received 1.1; input should be less than or equal to 1"),
    ({"none": False}, "freeze.none: received False; input should be True"),
    ("mixed7", "freeze: received 'mixed7'; expected head_only, none, or a mapping"),
    ("headonly", "freeze: received 'headonly'; did you mean head_only? expected head_only, none, or a mapping"),
    ({"none": True, "layer_lr_decay": 1.5}, "freeze.layer_lr_decay: received 1.5"),
    ({"none": True, "layer_lr_decay": 0.0}, "freeze.layer_lr_decay: received 0.0; input should be greater than 0"),
    ({"none": True, "phases": [{"policy": "none", "epochs": 1}]}, "freeze.phases.0.learning_rate"),
    (
        {"none": True, "phases": [{"policy": {"throug": "a"}, "epochs": 1, "learning_rate": 0.1}]},
        "freeze.phases.0.policy.throug: received 'a'; unknown key",
    ),
    ({"none": True, "phases": [{**PHASE, "epochs": 0}]}, "freeze.phases.0.epochs: received 0"),
    ({"none": True, "through": "mixed7"}, "choose exactly one policy of head_only, none, first_layers"),
    ({"batch_norm": "freeze"}, "found no policy"),
    ({"none": True, "batch_norm": "thaw"}, "freeze.batch_norm: received 'thaw'; input should be 'freeze'"),
    (None, "freeze: received None; expected a mapping"),
]


@pytest.mark.parametrize(("value", "message"), BAD)
def test_a_wrong_section_is_refused_in_one_line_that_names_the_field(value, message):
    with pytest.raises(ConfigError) as caught:
        parse(FreezeConfig, value, field="freeze")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("word", ["head_only", "none"])
def test_the_bare_words_are_policies(word):
    assert parse(FreezeConfig, word).section() == {word: True, "batch_norm": "freeze"}
    assert parse(PolicyConfig, word).policy() == {word: True}


@pytest.mark.parametrize(
    "policy",
    [
        {"head_only": True},
        {"none": True},
        {"first_layers": 3},
        {"through": "mixed7"},
        {"blocks": ["mixed1*", "stem"]},
        {"match": "^conv"},
        {"fraction": 0.5},
    ],
)
def test_every_policy_is_written_as_it_was_configured(policy):
    assert next(iter(policy)) in POLICIES
    config = parse(FreezeConfig, policy)
    assert config.policy() == policy
    assert list(config.section().items()) == [*policy.items(), ("batch_norm", "freeze")]


def test_a_section_with_phases_and_decay_survives_json_and_what_kfp_does_to_numbers():
    section = {"blocks": ["stem"], "batch_norm": "follow", "phases": [PHASE], "layer_lr_decay": 0.5}
    config = parse(FreezeConfig, section)
    assert config.section() == section
    as_floats = json.loads(json.dumps(config.section()), parse_int=float)
    assert parse(FreezeConfig, as_floats) == config


def test_defaults_are_not_written():
    section = parse(FreezeConfig, {"none": True, "phases": [], "layer_lr_decay": 1.0}).section()
    assert section == {"none": True, "batch_norm": "freeze"}


def test_every_field_is_described():
    for model in (FreezeConfig, PhaseConfig):
        assert all(field.description for field in model.model_fields.values())
