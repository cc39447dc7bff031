"""The section `signing`: two paths, both empty unless they are set."""

import pytest

from frostline.config import RunConfig, checked
from frostline.errors import ConfigError
from frostline.registry.config import SigningConfig


def test_nothing_is_signed_and_nothing_demanded_unless_it_is_configured():
    assert SigningConfig() == SigningConfig(key="", public_key="")
    assert RunConfig().arguments()["signing"] == {"key": "", "public_key": ""}


def test_paths_are_taken_as_they_are():
    found = checked(signing={"key": "/keys/key.pem", "public_key": "/keys/key.pub"}).signing
    assert (found.key, found.public_key) == ("/keys/key.pem", "/keys/key.pub")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"key": None}, "signing.key: received None; expected text"),
        ({"public_key": 3}, "signing.public_key: received 3; expected text"),
        ({"key": "a\0b"}, "signing.key: .*null characters"),
        ({"password": "x"}, "signing.password: .*unknown key; known keys are key, public_key"),
    ],
)
def test_anything_else_is_refused_in_one_line(section, message):
    with pytest.raises(ConfigError, match=message):
        checked(signing=section)
