"""The command `frostline`. Errors are one line on standard error, with the exit code of the error's class.

Everything heavy is imported by the command that needs it: `--help` answers at once.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from frostline.errors import FrostlineError
from pipelines import registry_commands
from pipelines.options import AsJson, Debug, traceback_is_asked_for

if TYPE_CHECKING:
    from frostline.config import RunConfig

INTERRUPTED = 130  # what a shell gives a command that Ctrl-C ended: 128 + SIGINT

app = typer.Typer(
    name="frostline",
    help="Fine-tune pretrained image models, with a freeze boundary that is planned, proven and gated.",
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


Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of the run.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a value: epochs=3, data.classes=[a,b].")
]
Host = Annotated[str, typer.Option("--host", metavar="URL", help="Address of Kubeflow Pipelines.")]
Experiment = Annotated[str, typer.Option("--experiment", help="Experiment that the run belongs to.")]


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Fine-tune pretrained image models, with a freeze boundary that is planned, proven and gated."""


@app.command()
def run(
    config: Config,
    overrides: Overrides = None,
    root: Annotated[
        Path, typer.Option("--root", help="Holds the runs and, unless configured, store and registry.")
    ] = Path("runs"),
    debug: Debug = False,
    as_json: AsJson = False,
) -> None:
    """Check the configuration, then run the pipeline on this machine. A held model is exit code 0 too."""
    summary = run_config(config, overrides or [], root)
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
    else:
        _print_summary(summary)


def run_config(path: Path, overrides: list[str], root: Path) -> dict[str, Any]:
    """What `frostline run` does: load, complete, check, run. Returns summary.json's content."""
    from rich.console import Console

    from frostline.config import load
    from pipelines import local, preflight

    config = preflight.for_this_machine(load(path, overrides), root)
    preflight.check_here(config)
    return local.run(config, root, Console(stderr=True))


def _print_summary(summary: dict[str, Any]) -> None:
    typer.echo(summary["outcome"])
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in summary["steps"].items())
    typer.echo(f"  {'seconds':<12} {summary['seconds']:.1f} in all: {steps}")
    for name, path in summary["pages"].items():
        typer.echo(f"  {name:<12} {path}")


@app.command()
def freeze(
    backbone: Annotated[str, typer.Argument(metavar="BACKBONE", help="Model of keras.applications, or .keras file.")],
    policy: Annotated[
        str, typer.Option("--policy", metavar="JSON", help='The freeze section: {"through": "mixed7"}, or head_only.')
    ],
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="REF", help="Resolve these weights too, to see whether they fit.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", metavar="N", help="Height and width in pixels; else the model's own.")
    ] = None,
    registry: Annotated[str, typer.Option("--registry", metavar="ROOT", help="Where registry: weights are.")] = (
        "runs/registry"
    ),
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the plan as a page, too.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Resolve a freeze policy against the real layer graph and show the plan, without training."""
    from rich.console import Console

    from frostline.reporting import pages
    from pipelines import freeze_command, plan_view

    plan, source = freeze_command.resolve(backbone, policy, weights=weights, image_size=image_size, registry=registry)
    if html:
        pages.write(html, "plan.html", plan=plan, source=source)
    if as_json:
        typer.echo(freeze_command.as_file(plan))
    else:
        plan_view.show(plan, Console(highlight=False))


@app.command("compile")
def compile_(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="YAML file whose values become the defaults.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("pipeline.yaml"),
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Write nothing; fail if FILE is out of date.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Compile the pipeline to YAML, byte-identical for the same input."""
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
        str, typer.Argument(metavar="MODEL_DIR", help="Directory of a trained model or of a version in a registry.")
    ],
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="SOURCE", help="Compare with these: artifact, file or registry reference."),
    ] = None,
    registry: Annotated[str, typer.Option("--registry", metavar="ROOT", help="Where SOURCE is looked up.")] = "",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Prove a model's freeze certificate again, from its files. Exit code 1 if a check fails."""
    from pipelines import quiet

    quiet.import_tensorflow()
    from frostline.verification.verify import verify as prove

    result = prove(model_dir, weights, registry)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        words = [_word(check) for check in result["checks"]]
        for word, check in zip(words, result["checks"], strict=True):
            typer.echo(f"{word:<7} {check['name']:<16} {check['reason']}")
        failed = words.count("FAILED")
        still = f"{result['frozen_tensors']} frozen tensors are bit-identical to those that training started from"
        typer.echo(f"verified: {still}" if result["verified"] else f"not verified: {failed} failed")
    if not result["verified"]:
        raise typer.Exit(1)


def _word(check: dict[str, Any]) -> str:
    if check["passed"]:
        return "passed"
    return "skipped" if check["reason"].startswith("not checked") else "FAILED"


@app.command()
def gate(
    run_dir: Annotated[
        str, typer.Argument(metavar="RUN_DIR", help="Directory of a run, or of a version in a registry.")
    ],
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Decide by this run's gate section."),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """May this model replace the one that serves? Exit code 0: promote; 1: hold or inconclusive."""
    from frostline.gating.review import as_markdown
    from pipelines import gate_command

    decision = gate_command.run(run_dir, config)
    typer.echo(json.dumps(decision, indent=2) if as_json else as_markdown(decision).rstrip())
    if decision["verdict"] != "promote":
        raise typer.Exit(1)


@app.command()
def submit(
    config: Config,
    host: Host,
    overrides: Overrides = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the run to its end.")] = True,
    experiment: Experiment = "frostline",
    debug: Debug = False,
) -> None:
    """Upload the pipeline to a cluster and start a run."""
    from pipelines import submit as remote

    typer.echo(remote.submit(_for_cluster(config, overrides), host=host, experiment=experiment, wait=wait))


@app.command()
def schedule(
    config: Config,
    host: Host,
    cron: Annotated[str, typer.Option("--cron", metavar="EXPRESSION", help="When to run, as a cron expression.")],
    overrides: Overrides = None,
    name: Annotated[str, typer.Option("--name", help="Name of the schedule; the model's name if not given.")] = "",
    experiment: Experiment = "frostline",
    debug: Debug = False,
) -> None:
    """Create the recurring run of that name on a cluster, or replace it."""
    from pipelines import submit as remote

    checked = _for_cluster(config, overrides)
    typer.echo(remote.schedule(checked, cron=cron, host=host, experiment=experiment, name=name or checked.model_name))


def _for_cluster(path: Path, overrides: list[str] | None) -> RunConfig:
    from frostline.config import load
    from pipelines import preflight

    config = load(path, overrides or [])
    preflight.check_model(config)
    return config


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted."""
    try:
        code = app(arguments, standalone_mode=False)
    except FrostlineError as error:
        if traceback_is_asked_for():
            traceback.print_exc()
        fail(str(error), error.exit_code)
    except typer.TyperException as error:
        message = error.format_message()  # empty where the help was printed because no command was given
        fail(f"{message.rstrip('.')}; see frostline --help", error.exit_code) if message else sys.exit(error.exit_code)
    if code == INTERRUPTED:
        fail("interrupted", code)
    sys.exit(code or 0)


def fail(message: str, code: int) -> NoReturn:
    """Write `frostline: error: MESSAGE`, in one line, and exit."""
    sys.stderr.write(f"frostline: error: {' '.join(message.split())}\n")
    sys.exit(code)
