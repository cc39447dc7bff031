"""Options that the commands share."""

from __future__ import annotations

from pathlib import Path
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


PUBLIC_KEY = "--public-key"
PublicKey = Annotated[
    str,
    typer.Option(PUBLIC_KEY, metavar="FILE", help="Demand that the version's signature verifies with this public key."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", callback=set_debug, help="Show the traceback if the command fails.")]
Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file with the run's configuration.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help=r"Override a value, such as epochs=3 or data.classes=\[a,b]."),
]
