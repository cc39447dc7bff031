"""Options that the commands share."""

from __future__ import annotations

from typing import Annotated

import typer

_debug = False


def shows_tracebacks() -> bool:
    """Whether the command line was called with --debug."""
    return _debug


def set_debug(value: bool | None) -> None:
    """Remember --debug: errors are printed with their traceback if `value` is true."""
    global _debug
    _debug = bool(value)  # typer passes None for an option that was not given


AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", callback=set_debug, help="Show the traceback if the command fails.")]
