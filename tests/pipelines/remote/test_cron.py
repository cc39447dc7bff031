"""Cron expressions: seconds are put in front; everything else is the server's to check."""

import pytest

from frostline.errors import ConfigError
from pipelines.remote.cron import six_fields


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("  */15 8-18 * *  MON-FRI", "0 */15 8-18 * * MON-FRI"),
        ("30 0 9 ? * 2-6", "30 0 9 ? * 2-6"),
    ],
)
def test_five_fields_get_seconds_and_six_stay(text, expected):
    assert six_fields(text) == expected


@pytest.mark.parametrize("text", ["", "@daily", "* * * *", "* * * * * * *", "every night"])
def test_another_number_of_fields_is_refused_in_one_line(text):
    with pytest.raises(ConfigError, match=r"^cron: received .*; expected 5 fields") as caught:
        six_fields(text)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
