"""The gate's section: its defaults, what it takes, and one line for what it does not."""

import json

import pytest

from frostline.errors import ConfigError
from frostline.gating.config import GateConfig
from frostline.section import parse


def test_every_field_is_described_and_no_limit_is_on_but_the_floor_and_the_agreement():
    assert all(field.description for field in GateConfig.model_fields.values())
    asked = {name for name, value in GateConfig().model_dump().items() if name.startswith(("min", "max")) and value}
    assert asked == {"min_accuracy", "min_agreement"}


def test_the_section_survives_what_kfp_does_to_numbers():
    config = GateConfig(min_class_recall=1.0, max_latency_ms=50.0, comparison="superiority", approval="required")
    assert parse(GateConfig, json.loads(json.dumps(config.model_dump()), parse_int=float)) == config
    assert parse(GateConfig, {"max_size_mb": 100, "margin": "1e-2"}) == GateConfig(max_size_mb=100.0, margin=0.01)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"margin": -0.1}, "gate.margin: received -0.1; input should be greater than or equal to 0"),
        ({"min_class_recall": 1.2}, "gate.min_class_recall: received 1.2; input should be less than or equal to 1"),
        ({"drift_margin": 2}, "gate.drift_margin: received 2; input should be less than or equal to 1"),
        ({"comparison": "better"}, "gate.comparison: received 'better'; input should be 'non_inferiority' or 'super"),
        ({"approval": True}, "gate.approval: received True; input should be 'none' or 'required'"),
        ({"confidence": 1.0}, "gate.confidence: received 1.0; input should be less than 1"),
        ({"max_latency_ms": float("nan")}, "gate.max_latency_ms: received nan"),
        ({"min_recall": 0.5}, "gate.min_recall: received 0.5; unknown key; known keys are min_accuracy, min_class_rec"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(value, message):
    with pytest.raises(ConfigError) as caught:
        parse(GateConfig, value, field="gate")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
