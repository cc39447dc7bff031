"""The data and augment sections: what is accepted, and one line for everything that is not."""

import json

import pytest

from frostline.config import RunConfig
from frostline.data.config import AugmentConfig, DataConfig
from frostline.errors import ConfigError
from frostline.section import parse

BAD = [
    (DataConfig, {"test_fraction": 0.0}, "test_fraction: received 0.0; input should be greater than 0"),
    (DataConfig, {"test_fraction": 1.0}, "test_fraction: received 1.0; input should be less than 1"),
    (DataConfig, {"validation_fraction": -0.1}, "validation_fraction: received -0.1; input should be greater than or"),
    (DataConfig, {"validation_fraction": 0.5, "test_fraction": 0.5}, "validation_fraction + test_fraction must be"),
    (DataConfig, {"classes": ["a", 1]}, "classes.1: received 1; expected text; in YAML, quote it"),
    (DataConfig, {"classes": "cats"}, "classes: received 'cats'; expected a list"),
    (DataConfig, {"train_examples_per_class": -1}, "train_examples_per_class: received -1; input should be greater"),
    (DataConfig, {"train_examples_per_class": 2.5}, "train_examples_per_class: received 2.5; input should be a valid"),
    (
        DataConfig,
        {"labels": []},
        "labels: received []; unknown key; known keys are classes, layout, train_examples_per_class",
    ),
    (AugmentConfig, {"flip": 1}, "flip: received 1; input should be a valid boolean"),
    (AugmentConfig, {"crop": 1.0}, "crop: received 1.0; input should be less than 1"),
    (AugmentConfig, {"colour": -0.2}, "colour: received -0.2; input should be greater than or equal to 0"),
    (AugmentConfig, {"color": 0.2}, "color: received 0.2; unknown key; known keys are flip, crop, colour, views"),
    (AugmentConfig, {"views": 4}, "views: 4 needs flip, crop or colour; without them all variants are equal"),
    (AugmentConfig, {"flip": True, "views": -1}, "views: received -1; input should be greater than or equal to 0"),
]


@pytest.mark.parametrize(("model", "value", "message"), BAD)
def test_bad_input_is_one_line_that_names_the_field_and_what_was_received(model, value, message):
    with pytest.raises(ConfigError) as caught:
        parse(model, value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("section", "value"), [("data", {"test_fraction": 2.0}), ("augment", {"crop": 2.0})])
def test_a_bad_value_inside_a_run_is_named_with_its_section(section, value):
    with pytest.raises(ConfigError) as caught:
        parse(RunConfig, {section: value})
    assert str(caught.value).startswith(f"{section}.{next(iter(value))}: received 2.0")


def test_sections_survive_what_kfp_does_to_numbers_and_tuples():
    data = DataConfig(classes=("b", "a"), train_examples_per_class=20, validation_fraction=0.0)
    augment = AugmentConfig(flip=True, colour=0.2, views=4)
    for section in (data, augment):
        as_floats = json.loads(section.model_dump_json(), parse_int=float)
        assert parse(type(section), as_floats) == section


def test_the_defaults_use_every_class_and_change_no_image():
    assert (DataConfig().classes, DataConfig().train_examples_per_class) == ((), 0)
    assert not AugmentConfig().active


@pytest.mark.parametrize("value", [{"flip": True}, {"crop": 0.1}, {"colour": 0.1}])
def test_any_change_makes_augmentation_active(value):
    assert parse(AugmentConfig, {**value, "views": 2}).active


@pytest.mark.parametrize("model", [DataConfig, AugmentConfig])
def test_every_field_is_described(model):
    assert all(field.description for field in model.model_fields.values())


@pytest.mark.parametrize("model", [DataConfig, AugmentConfig])
def test_a_section_cannot_be_changed(model):
    with pytest.raises(ValueError, match="frozen"):
        setattr(model(), next(iter(model.model_fields)), None)
