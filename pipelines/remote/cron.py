"""Cron expressions in the form that Kubeflow takes: six fields, seconds first."""

from __future__ import annotations

from datetime import datetime

from frostline.errors import ConfigError


def six_fields(text: str) -> str:
    """Put seconds in front of a cron expression that has none; the server checks what the fields say.

    Args:
        text: five fields (minutes, hours, day of month, month, day of week; seconds become 0), or six.

    Raises:
        ConfigError: another number of fields.
    """
    fields = text.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise ConfigError("cron", text, "expected 5 fields (minutes hours day month weekday), or 6 with seconds first")
    return " ".join(fields)


def next_run(expression: str, after: datetime) -> datetime | None:
    """When a schedule of six fields runs next, in the time zone of `after`; None if it never does again."""
    from croniter import CroniterError, croniter

    try:
        return croniter(expression, after, second_at_beginning=True).get_next(datetime)  # type: ignore[no-any-return]
    except CroniterError:
        return None
