"""The training and augment sections: what is accepted, and one line for everything that is not."""

import json

import pytest

from frostline.config import RunConfig
from frostline.data.config import AugmentConfig
from frostline.errors import ConfigError
from frostline.features.config import CacheConfig
from frostline.section import parse
from frostline.training.config import SessionSettings, TrainingConfig

BAD = [
    (TrainingConfig, {"optimiser": "sgd"}, "optimiser: received 'sgd'; unknown key; known keys are optimizer"),
    (TrainingConfig, {"optimizer": "lion"}, "optimizer: received 'lion'; input should be 'adam', 'adamw' or 'sgd'"),
    (TrainingConfig, {"optimizer": "adamw"}, "weight_decay: 0.0 does not fit optimizer adamw; adamw needs a value"),
    (TrainingConfig, {"weight_decay": 0.01}, "weight_decay: 0.01 does not fit optimizer adam;"),
    (TrainingConfig, {"optimizer": "sgd", "weight_decay": 0.01}, "0.01 does not fit optimizer sgd;"),
    (TrainingConfig, {"optimizer": "adamw", "weight_decay": -0.1}, "weight_decay: received -0.1; input should be"),
    (TrainingConfig, {"weight_decay": float("inf")}, "weight_decay: received inf; input should be a finite number"),
    (TrainingConfig, {"optimizer": "sgd", "momentum": 1.0}, "momentum: received 1.0; input should be less than 1"),
    (TrainingConfig, {"schedule": "linear"}, "schedule: received 'linear'; input should be 'constant' or 'cosine'"),
    (TrainingConfig, {"warmup_steps": 10}, "warmup_steps: 10 needs schedule: cosine"),
    (TrainingConfig, {"schedule": "cosine", "warmup_steps": -1}, "warmup_steps: received -1; input should be greater"),
    (TrainingConfig, {"label_smoothing": 1.0}, "label_smoothing: received 1.0; input should be less than 1"),
    (
        TrainingConfig,
        {"label_smoothing": -0.1},
        "label_smoothing: received -0.1; input should be greater than or equal",
    ),
    (TrainingConfig, {"class_weights": "balance"}, "class_weights: received 'balance'; input should be 'none' or"),
    (TrainingConfig, {"clip_norm": -1.0}, "clip_norm: received -1.0; input should be greater than or equal to 0"),
    (TrainingConfig, {"precision": "float16"}, "precision: received 'float16'; input should be 'float32' or"),
    (TrainingConfig, {"patience": 1.5}, "patience: received 1.5; input should be a valid integer"),
    (TrainingConfig, {"monitor": "loss"}, "monitor: received 'loss'; input should be 'validation_loss' or"),
    (TrainingConfig, {"synchronized_batch_norm": "yes"}, "synchronized_batch_norm: received 'yes'; input should be"),
    (TrainingConfig, {"checkpoint_seconds": 0}, "checkpoint_seconds: received 0; input should be greater than or"),
]


@pytest.mark.parametrize(("model", "value", "message"), BAD)
def test_bad_input_is_one_line_that_names_the_field_and_what_was_received(model, value, message):
    with pytest.raises(ConfigError) as caught:
        parse(model, value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_value_inside_a_run_is_named_with_its_section():
    for section, value in (("training", {"patience": -1}), ("augment", {"crop": 2.0}), ("cache", {"mode": "no"})):
        with pytest.raises(ConfigError) as caught:
            parse(RunConfig, {section: value})
        assert str(caught.value).startswith(f"{section}.{next(iter(value))}: received {next(iter(value.values()))!r}")


def test_sections_survive_what_kfp_does_to_numbers():
    config = RunConfig(
        training=TrainingConfig(optimizer="adamw", weight_decay=1.0, schedule="cosine", warmup_steps=5, patience=3),
        augment=AugmentConfig(flip=True, colour=0.2, views=4),
        cache=CacheConfig(mode="require", limit_gb=5.0),
    )
    as_floats = json.loads(json.dumps(config.arguments()), parse_int=float)
    assert parse(RunConfig, as_floats) == config


def test_an_exponent_may_be_written_without_a_point():
    assert parse(TrainingConfig, {"optimizer": "adamw", "weight_decay": "4e-3"}).weight_decay == 0.004


def test_defaults_change_no_image_and_train_plainly():
    training = TrainingConfig()
    assert (training.optimizer, training.schedule, training.precision) == ("adam", "constant", "float32")
    assert (training.label_smoothing, training.clip_norm, training.patience) == (0.0, 0.0, 0)


def test_every_field_is_described():
    assert all(field.description for field in TrainingConfig.model_fields.values())


def test_a_section_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        TrainingConfig().patience = 1


def session(**changed):
    settings = {
        "head": {}, "training": {}, "augment": {}, "cache": "auto",
        "epochs": 2, "batch_size": 8, "learning_rate": 0.1, "seed": 0, "store": "/store",
    }  # fmt: skip
    return parse(SessionSettings, {**settings, **changed})


def test_a_session_parses_its_sections_and_names_a_bad_value_with_its_section():
    settings = session(head={"dropout": 0.5}, epochs=3.0)
    assert (settings.head.dropout, settings.epochs, settings.cache.mode) == (0.5, 3, "auto")
    for section, value in (("training", {"patience": -1}), ("head", {"dropout": 2.0}), ("cache", {"mode": "no"})):
        with pytest.raises(ConfigError) as caught:
            session(**{section: value})
        assert str(caught.value).startswith(f"{section}.{next(iter(value))}: received {next(iter(value.values()))!r}")
