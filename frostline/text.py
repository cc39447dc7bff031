"""Text for people: one line of anything, a list that stops in time, sizes in bytes, and Markdown that stays text."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

_USER = re.compile(r"(?<=://)[^/\s]*@")  # what is before the host of a URL: a user's name, often with a password
_MARKUP = re.compile(r"[\\`*_\[\]>|~&$#@!]|(?<=[wW]{3})\.|:(?=//)")  # GitHub makes links of bare addresses, too


def one_line(value: object, longest: int = 300) -> str:
    """A text, or an error's message, in at most `longest` characters that can be printed.

    Line breaks, terminal controls and halves of surrogate pairs become spaces, and spaces in a row become one.
    """
    text = str(value)
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:longest]


def without_user(text: str) -> str:
    """A URL, or a text with URLs, without users and passwords: `https://ann:secret@host` becomes `https://host`."""
    return _USER.sub("", text)


def os_reason(error: OSError) -> str:
    """Why the system refused, in a clause; a permission is told with the user who lacks it: in a pod it has no name."""
    reason = error.strerror or str(error)
    if isinstance(error, PermissionError):
        return f"{reason} for user {os.getuid()}, who has to own the folder or volume, or be let in by its group"
    return reason


def listed(names: Sequence[str], shown: int = 3, separator: str = ", ") -> str:
    """The first names, and how many more there are: `a, b, c and 4 more`."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return separator.join(names[:shown]) + more


def size_words(number: int) -> str:
    """A number of bytes for people, in powers of 1000: `888 kB`."""
    value, unit = float(number), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}" if value < 999.5 else f"{value:,.0f} {unit}"


def markdown(text: str) -> str:
    """Text as Markdown that shows it: one line, without markup, links or table cells of its own, whatever it holds."""
    line = one_line(text, longest=len(text))
    return _MARKUP.sub(r"\\\g<0>", line).replace("<", "&lt;")  # some renderers make a tag of an escaped one
