"""Compile the graph to the YAML file that a cluster and a laptop run: the same input gives the same bytes.

The compiled file ships with the package, so neither `frostline run` nor `frostline submit` needs KFP's compiler.
`make check` fails if it is out of date.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from frostline.artifacts import write_file
from frostline.config import RunConfig
from frostline.errors import ConfigError
from pipelines.check import check
from pipelines.lint import lint

SHIPPED = Path(__file__).parent / "compiled" / "finetune.yaml"
_HEADER = "# The pipeline of pipelines/finetune.py, written by `frostline compile`: change that file, not this one.\n"


def compile_pipeline(output: Path, config: RunConfig | None = None) -> Path:
    """Compile the pipeline, check it, and write it whole or not at all.

    Args:
        output: the file to write.
        config: values that become the pipeline's defaults; None for the defaults of RunConfig.

    Returns:
        `output`.

    Raises:
        ConfigError: the graph has a dangling reference, or a shape that kfp.local runs wrongly.
        StorageError: the file cannot be written.
    """
    write_file(output, compiled(config).encode())
    return output


def compiled(config: RunConfig | None = None) -> str:
    """The pipeline's YAML, with the errors of `compile_pipeline`."""
    from kfp import compiler

    from pipelines.finetune import finetune

    given = config.arguments() if config else {}
    parameters = {name: value for name, value in given.items() if name != "image" or value}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "pipeline.yaml"
        compiler.Compiler().compile(finetune, str(file), pipeline_parameters=parameters or None)
        text = _HEADER + _with_choices(_without_comments(file.read_text()))
    check(text)
    findings = lint(text)
    if findings:
        raise ConfigError("pipelines/finetune.py", findings[0], f"{len(findings)} such shapes; see pipelines/lint.py")
    return text


def is_current(path: Path, config: RunConfig | None = None) -> bool:
    """Whether `path` holds exactly what `compile_pipeline` would write; False if there is no file."""
    try:
        return path.read_bytes() == compiled(config).encode()
    except FileNotFoundError:
        return False


def _with_choices(text: str) -> str:
    """The YAML with the values of `workers`, of which the web form makes a drop-down; KFP's compiler cannot write them.

    It is the only parameter that has a few values and no others.
    """
    bounds = RunConfig.model_json_schema()["properties"]["workers"]
    choices = "".join(f"        - {number}\n" for number in range(bounds["minimum"], bounds["maximum"] + 1))
    before, name, after = text.partition("\n      workers:\n        defaultValue:")
    return (
        before
        + name
        + after.replace("        parameterType:", f"        literals:\n{choices}        parameterType:", 1)
    )


def _without_comments(text: str) -> str:
    """The YAML without KFP's summary of the inputs.

    The summary prints dict defaults in the order of protobuf's hash map, which changes from process to process, and a
    default with a line break would end its comment.
    """
    return text[text.index("\ncomponents:\n") + 1 :]
