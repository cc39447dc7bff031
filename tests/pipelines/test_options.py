"""The options that commands share, on a small command of their own."""

import pytest
import typer
from typer.testing import CliRunner

from pipelines import options
from pipelines.options import AsJson, Debug


@pytest.fixture
def shown():
    """A function that runs a command with both options; it returns (as_json, whether tracebacks are shown)."""
    app = typer.Typer()
    received = []

    @app.command()
    def command(as_json: AsJson = False, debug: Debug = False) -> None:
        received.append((as_json, options.shows_tracebacks()))

    def call(*arguments):
        assert CliRunner().invoke(app, list(arguments)).exit_code == 0
        return received[-1]

    yield call
    options.set_debug(False)


def test_debug_shows_tracebacks_in_its_own_command_and_not_in_the_next_one(shown):
    assert shown() == (False, False)
    assert shown("--debug") == (False, True)
    assert shown("--json") == (True, False)
