"""Modules of `tests.support` that a test runs in a process of its own."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def command(module, *arguments):
    """`python -m tests.support.MODULE ARGUMENTS`, from any directory.

    PYTHONPATH is set for this process alone: with the repository on it, kfp takes the folder docker/ for its client.
    """
    return ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", f"tests.support.{module}", *map(str, arguments)]
