import pytest

from frostline.errors import ConfigError
from pipelines.cron import six_fields


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("  */15 8-18 * *  MON-FRI", "0 */15 8-18 * * MON-FRI"),
        ("0 3 1,15 jan-mar ?", "0 0 3 1,15 jan-mar ?"),
        ("5/20 * * * 0", "0 5/20 * * * 0"),
        ("30 0 9 ? * 2-6", "30 0 9 ? * 2-6"),
    ],
)
def test_five_fields_get_seconds_and_six_stay(text, expected):
    assert six_fields(text) == expected


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("60 * * * *", "minutes"),
        ("0 24 * * *", "hours"),
        ("0 3 0 * *", "day of month"),
        ("0 3 * 13 *", "month"),
        ("0 3 * * 7", "day of week"),
        ("0 3 * MON *", "month"),
        ("61 0 3 * * *", "seconds"),
        ("5-1 * * * *", "minutes"),
        ("*/0 * * * *", "minutes"),
        ("*-5 * * * *", "minutes"),
        ("1,,2 * * * *", "minutes"),
        ("-1 * * * *", "minutes"),
        ("٣ * * * *", "minutes"),
    ],
)
def test_a_field_that_is_wrong_is_named(text, field):
    with pytest.raises(ConfigError, match=f"^cron: received .*; {field}: ") as caught:
        six_fields(text)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "@daily", "* * * *", "* * * * * * *", "every night"])
def test_another_number_of_fields_is_refused(text):
    with pytest.raises(ConfigError, match="expected 5 fields"):
        six_fields(text)
