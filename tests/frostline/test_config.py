"""The configuration: what is accepted, and one line for everything that is not."""

import json
import typing

import pytest

from frostline.config import RunConfig, load
from frostline.data.config import AugmentConfig, DataConfig
from frostline.errors import ConfigError
from frostline.features.config import CacheConfig
from frostline.freeze.config import FreezeConfig, PhaseConfig
from frostline.gating.config import GateConfig
from frostline.model.config import HeadConfig
from frostline.section import Section, parse


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return path

    return write


BAD = [
    ({"epoch": 3}, "epoch: received 3; unknown key; known keys are model_name"),
    ({"gate": {"floor": 0.9}}, "gate.floor: received 0.9; unknown key; known keys are min_accuracy"),
    ({"epochs": "3"}, "epochs: received '3'; input should be a valid integer"),
    ({"epochs": 2.5}, "epochs: received 2.5; input should be a valid integer"),
    ({"epochs": True}, "epochs: received True; input should be a valid integer"),
    ({"epochs": 0}, "epochs: received 0; input should be greater than or equal to 1"),
    ({"learning_rate": -1.0}, "learning_rate: received -1.0; input should be greater than 0"),
    ({"learning_rate": float("inf")}, "learning_rate: received inf; input should be a finite number"),
    ({"learning_rate": "fast"}, "learning_rate: received 'fast'; input should be a valid number"),
    ({"image_size": 5000}, "image_size: received 5000; input should be less than or equal to 2048"),
    ({"model_name": "My Model"}, "model_name: received 'My Model'; expected 1 to 63 lower-case letters"),
    ({"source": ""}, "source: received ''; string should have at least 1 character"),
    ({"freeze": "mixed7"}, "freeze: received 'mixed7'; expected head_only, none, or a mapping"),
    (
        {"freeze": {"none": True, "phases": [{"policy": {"throug": "a"}, "epochs": 1, "learning_rate": 0.1}]}},
        "freeze.phases.0.policy.throug: received 'a'; unknown key",
    ),
    ({"freeze": {"none": True, "through": "mixed7"}}, "choose exactly one policy"),
    ({"data": {"test_fraction": 0.0}}, "data.test_fraction: received 0.0; input should be greater than 0"),
    ({"head": {"hidden": [0]}}, "every layer needs at least 1 unit"),
    ({"gate": {"confidence": 0.5}}, "gate.confidence: received 0.5; input should be greater than 0.5"),
    ({"gate": None}, "gate: received None"),
]


@pytest.mark.parametrize(("value", "message"), BAD)
def test_bad_input_is_one_line_that_names_the_field_and_what_was_received(value, message):
    with pytest.raises(ConfigError) as caught:
        parse(RunConfig, value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_arguments_survive_what_kfp_does_to_numbers():
    config = RunConfig(
        data=DataConfig(train_examples_per_class=20),
        head=HeadConfig(hidden=(64, 32)),
        freeze=FreezeConfig(through="mixed7"),
        gate=GateConfig(min_accuracy=1.0),
    )
    as_floats = json.loads(json.dumps(config.arguments()), parse_int=float)
    assert parse(RunConfig, as_floats) == config


def test_arguments_hold_no_null():
    assert "null" not in json.dumps(RunConfig().arguments())


def sections(model):
    """A section and every section inside it."""
    yield model
    for field in model.model_fields.values():
        for inner in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, Section):
                yield from sections(inner)


def test_every_field_of_every_section_is_described_in_one_line():
    found = list(sections(RunConfig))
    assert {PhaseConfig, FreezeConfig, GateConfig, CacheConfig, AugmentConfig} <= set(found)
    for model in found:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            assert "\n" not in field.description


def test_overrides_replace_values_at_any_depth(write):
    path = write("epochs: 3\nfreeze: head_only\ngate: {margin: 0.1}\n")
    config = load(path, ["epochs=5", "gate.min_accuracy=0.9", "source=/data/a=b", "freeze={through: mixed2}"])
    assert (config.epochs, config.gate.margin, config.gate.min_accuracy) == (5, 0.1, 0.9)
    assert config.source == "/data/a=b"
    assert config.freeze.through == "mixed2"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs", "--set: received 'epochs'; expected section.key=value"),
        ("=3", "expected section.key=value"),
        ("epochs.x=3", "epochs is not a mapping in this file"),
        ("epochs=[", "the value is not valid YAML"),
        ("nope.x=1", "nope: received {'x': 1}; unknown key"),
    ],
)
def test_bad_overrides_are_refused(write, override, message):
    with pytest.raises(ConfigError) as caught:
        load(write("epochs: 3\n"), [override])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "expected valid YAML"), ("- 1\n", "expected a mapping"), ("", "expected a mapping")],
)
def test_a_file_that_is_not_a_mapping_is_refused(write, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load(write(text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: .*expected a readable YAML file"):
        load(tmp_path / "none.yaml")


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().epochs = 3


@pytest.mark.parametrize(("text", "value"), [("1e-3", 0.001), ("2.5e-4", 0.00025), ("0.01", 0.01), ("1", 1.0)])
def test_a_learning_rate_may_be_written_with_an_exponent(write, text, value):
    assert load(write(f"learning_rate: {text}\n")).learning_rate == value
