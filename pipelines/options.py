"""Options that the commands share."""

from __future__ import annotations

from typing import Annotated

import typer

_asked = False


def traceback_is_asked_for() -> bool:
    """Whether an error is to be shown with its traceback."""
    return _asked


def _ask_for_traceback(value: bool) -> None:
    """Typer calls this for every command; once asked for, it stays so."""
    global _asked
    _asked = _asked or value


AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", callback=_ask_for_traceback, help="Show the traceback of an error.")]
