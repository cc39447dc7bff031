"""Cron expressions as Kubeflow takes them: six fields, seconds first."""

from __future__ import annotations

import re

from frostline.errors import ConfigError

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("seconds", 0, 59, ()),
    ("minutes", 0, 59, ()),
    ("hours", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
_PART = re.compile(r"(?:[*?]|(?P<low>[0-9A-Za-z]+)(?:-(?P<high>[0-9A-Za-z]+))?)(?:/(?P<step>[0-9]+))?")


def six_fields(text: str) -> str:
    """A cron expression with seconds.

    Args:
        text: five fields (minutes, hours, day of month, month, day of week; seconds become 0), or six. A field is
            `*`, `?`, a number, a name (JAN, MON) or a range `a-b`, each with an optional step `/n`, or several of
            them with commas. Sunday is 0.

    Raises:
        ConfigError: the number of fields is wrong, or one of them.
    """
    fields = text.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise ConfigError("cron", text, "expected 5 fields (minutes hours day month weekday), or 6 with seconds first")
    for field, (name, lowest, highest, words) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            if not _is_valid(part, lowest, highest, words):
                known = f" or {words[0]}-{words[-1]}" if words else ""
                raise ConfigError("cron", text, f"{name}: {part!r} is not within {lowest}-{highest}{known}")
    return " ".join(fields)


def _is_valid(part: str, lowest: int, highest: int, words: tuple[str, ...]) -> bool:
    match = _PART.fullmatch(part)
    if match is None or (match["step"] is not None and int(match["step"]) == 0):
        return False
    values = [_value(text, lowest, words) for text in (match["low"], match["high"]) if text is not None]
    return all(lowest <= value <= highest for value in values) and values == sorted(values)


def _value(text: str, lowest: int, words: tuple[str, ...]) -> int:
    """A number or a name as a number; -1, which no field allows, for anything else."""
    if text.upper() in words:
        return words.index(text.upper()) + lowest
    return int(text) if text.isdecimal() else -1
