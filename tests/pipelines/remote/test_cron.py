"""Cron expressions: seconds are put in front; everything else is the server's to check."""

from datetime import UTC, datetime

import pytest

from frostline.errors import ConfigError
from pipelines.remote.cron import next_run, six_fields


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


@pytest.mark.parametrize(("expression", "expected"), [
    ("0 0 3 * * *", "2026-11-29 03:00:00"),
    ("30 15 6 * * *", "2026-11-28 06:15:30"),
    ("0 0 9 ? * MON-FRI", "2026-11-30 09:00:00"),
    ("0 0 0 29 2 *", "2028-02-29 00:00:00"),
    ("0 0 0 31 2 *", None),  # never
    ("what is this", None),  # which a server accepted, and we do not know
])  # fmt: skip
def test_the_next_run_is_the_first_time_after_now(expression, expected):
    found = next_run(expression, datetime(2026, 11, 28, 6, tzinfo=UTC))
    assert (found and f"{found:%Y-%m-%d %H:%M:%S}") == expected
