"""The command `frostline`. An error is one line on standard error, with the exit code of its class.

Each command imports what it needs, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from frostline.errors import FrostlineError
from frostline.text import one_line
from pipelines import registry_commands
from pipelines.options import (
    PUBLIC_KEY,
    AsJson,
    Config,
    Debug,
    Overrides,
    PublicKey,
    set_debug,
    shows_tracebacks,
)
from pipelines.remote import commands as cluster_commands

if TYPE_CHECKING:
    from pipelines.documents import Summary

INTERRUPTED = 130  # as a shell reports a command that Ctrl-C ended: 128 + SIGINT
_ABOUT = "Fine-tune pretrained image models with a planned, verified and gated freeze boundary."

app = typer.Typer(
    name="frostline",
    help=_ABOUT,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(registry_commands.app, name="registry")


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"frostline {version('frostline')}")
        raise typer.Exit


@app.callback(help=_ABOUT)
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options of `frostline` itself."""


@app.command()
def run(
    config: Config,
    overrides: Overrides = None,
    root: Annotated[
        Path,
        typer.Option("--root", metavar="DIR", help="Directory for runs, and for store and registry unless configured."),
    ] = Path("runs"),
    debug: Debug = False,
    as_json: AsJson = False,
) -> None:
    """Run the pipeline on this machine.

    The configuration is checked first. The exit code is 0 for a pushed model and for a held one.
    """
    summary = run_config(config, overrides or [], root)
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
    else:
        _print_summary(summary)


def run_config(path: Path, overrides: list[str], root: Path) -> Summary:
    """Load, complete and check a configuration, then run it. Returns the content of summary.json."""
    from rich.console import Console

    from frostline.config import load
    from pipelines import local, preflight

    config = preflight.for_this_machine(load(path, overrides), root)
    preflight.check_here(config)
    return local.run(config, root, Console(stderr=True))


def _print_summary(summary: Summary) -> None:
    typer.echo(summary["outcome"])
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in summary["steps"].items())
    typer.echo(f"  {'seconds':<15} {summary['seconds']:.1f} in total: {steps}")
    for name, path in summary["pages"].items():
        typer.echo(f"  {name:<15} {path}")


@app.command()
def freeze(
    backbone: Annotated[
        str,
        typer.Argument(metavar="BACKBONE", help="Name of a keras.applications model, SmallConvNet, or a .keras file."),
    ],
    policy: Annotated[
        str, typer.Option("--policy", metavar="JSON", help='Freeze policy, such as {"through": "mixed7"} or head_only.')
    ],
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="REF", help="Also resolve these weights and check that they fit.")
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            "--image-size", metavar="N", help="Height and width of the input in pixels; default: the model's own."
        ),
    ] = None,
    registry: Annotated[
        str, typer.Option("--registry", metavar="ROOT", help="Registry for weights of the form registry:MODEL.")
    ] = ("runs/registry"),
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write the plan as a page.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show what a freeze policy freezes in a backbone, without training."""
    from rich.console import Console

    from frostline.reporting import pages
    from pipelines import freeze_command, plan_view

    plan, source = freeze_command.plan_of(backbone, policy, weights=weights, image_size=image_size, registry=registry)
    if html:
        pages.write(html, "plan.html", plan=plan, source=source)
    if as_json:
        typer.echo(freeze_command.as_file(plan))
    else:
        plan_view.show(plan, Console(highlight=False))


@app.command("compile")
def compile_(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="YAML file whose values become the pipeline's defaults.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write.")] = Path(
        "pipeline.yaml"
    ),
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Write nothing, but fail if FILE is out of date.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Compile the pipeline to YAML and check it.

    The same input gives the same bytes.
    """
    from frostline.config import load
    from pipelines.compile import compile_pipeline, is_current

    values = load(config) if config else None
    if check is None:
        typer.echo(f"wrote {compile_pipeline(output, values)}")
        return
    if not is_current(check, values):
        state = "differs from what the pipeline compiles to" if check.is_file() else "is missing"
        raise FrostlineError(f"{check}: {state}; write it with `frostline compile --output {check}`")
    typer.echo(f"{check} is up to date")


@app.command()
def verify(
    model_dir: Annotated[
        str, typer.Argument(metavar="MODEL_DIR", help="Directory of a trained model, or of a version in a registry.")
    ],
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="SOURCE", help="Weights to compare with: an artifact, a file or a registry reference."
        ),
    ] = None,
    registry: Annotated[
        str, typer.Option("--registry", metavar="ROOT", help="Registry for a SOURCE of the form registry:MODEL.")
    ] = "",
    public_key: PublicKey = "",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Verify a model's freeze certificate, and a version's signature, from its files.

    The exit code is 1 if a check fails.
    """
    from frostline import quiet
    from frostline.registry.keys import optional_public_key
    from pipelines import verify_command

    demanded = optional_public_key(public_key, PUBLIC_KEY)
    quiet.import_tensorflow()
    from frostline.verification.verify import verify as verify_model

    result = verify_model(model_dir, weights, registry, demanded)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        typer.echo(verify_command.text(result))
    if not result["verified"]:
        raise typer.Exit(1)


@app.command()
def gate(
    run_dir: Annotated[
        str, typer.Argument(metavar="RUN_DIR", help="Directory of a run, or of a version in a registry.")
    ],
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Use the gate section of this run's configuration instead."),
    ] = None,
    public_key: PublicKey = "",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Decide whether a model may be promoted.

    The exit code is 0 for promote, and 1 for hold or inconclusive.
    """
    from frostline.gating.review import as_markdown
    from pipelines import gate_command

    decision = gate_command.run(run_dir, config, public_key)
    typer.echo(json.dumps(decision, indent=2) if as_json else as_markdown(decision).rstrip())
    if decision["verdict"] != "promote":
        raise typer.Exit(1)


app.command()(cluster_commands.submit)
app.command()(cluster_commands.schedule)
app.command()(cluster_commands.resume)
app.command()(cluster_commands.terminate)
app.command()(cluster_commands.schedules)
app.add_typer(cluster_commands.app, name="cluster")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 success, 1 failure, 2 wrong usage or configuration, 130 interrupted."""
    set_debug(False)
    try:
        code = app(arguments, standalone_mode=False)
    except FrostlineError as error:
        if shows_tracebacks():
            traceback.print_exc()
        fail(str(error), error.exit_code)
    except typer.TyperException as error:
        message = error.format_message()  # empty if the help was printed because no command was given
        fail(f"{message.rstrip('.')}; see frostline --help", error.exit_code) if message else sys.exit(error.exit_code)
    if code == INTERRUPTED:
        fail("interrupted", code)
    sys.exit(code or 0)


def fail(message: str, code: int) -> NoReturn:
    """Write `frostline: error: MESSAGE` in one line, and exit."""
    sys.stderr.write(f"frostline: error: {one_line(message, 5000)}\n")
    sys.exit(code)
