"""The cache section: what is accepted, and one line for everything that is not."""

import pytest

from frostline.errors import ConfigError
from frostline.features.config import CacheConfig
from frostline.section import parse

BAD = [
    ({"mode": "always"}, "mode: received 'always'; input should be 'auto', 'off' or 'require'"),
    ("on", "mode: received 'on'; input should be 'auto', 'off' or 'require'"),
    (True, "configuration: received True; expected a mapping"),
    ({"dtype": "int8"}, "dtype: received 'int8'; input should be 'float32', 'float16' or 'bfloat16'"),
    ({"precision": "bfloat16"}, "precision: received 'bfloat16'; input should be 'auto' or 'float32'"),
    ({"limit_gb": 0.0}, "limit_gb: received 0.0; input should be greater than 0"),
]


@pytest.mark.parametrize(("value", "message"), BAD)
def test_bad_input_is_one_line_that_names_the_field_and_what_was_received(value, message):
    with pytest.raises(ConfigError) as caught:
        parse(CacheConfig, value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["auto", "off", "require"])
def test_the_bare_word_of_a_cache_is_its_mode(word):
    assert parse(CacheConfig, word) == CacheConfig(mode=word)


def test_off_may_be_written_as_yaml_reads_it():
    assert parse(CacheConfig, False) == CacheConfig(mode="off")
    assert parse(CacheConfig, {"mode": False, "dtype": "float16"}) == CacheConfig(mode="off", dtype="float16")


def test_a_limit_may_be_an_exponent_without_a_point():
    assert parse(CacheConfig, {"limit_gb": "1e2"}).limit_gb == 100.0


def test_every_field_is_described_and_none_can_be_changed():
    assert all(field.description for field in CacheConfig.model_fields.values())
    with pytest.raises(ValueError, match="frozen"):
        CacheConfig().mode = "off"
