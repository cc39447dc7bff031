"""The command line as a person uses it: exit codes, one-line errors, what is imported, what is printed."""

import json
import re
import subprocess
import sys

import pytest
import typer

from frostline import registry
from frostline.errors import FrostlineError
from pipelines import cli

FLOWERS = "source: tfds://tf_flowers\nmodel_name: flowers\n"


def call(capsys, *arguments):
    """Exit code, standard output and standard error of the command, in this process."""
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(FLOWERS)
    return path


def error_line(err):
    assert err.startswith("frostline: error: ")
    assert err.count("\n") == 1
    return err.removeprefix("frostline: error: ").strip()


def imported(*arguments):
    """The modules that a call of the command imports."""
    code = (
        "import sys\nfrom pipelines import cli\n"
        f"try:\n    cli.main({list(arguments)!r})\n"
        "except SystemExit as left:\n    assert not left.code, left.code\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ended.stderr.splitlines())


def test_help_imports_nothing_heavy():
    assert not {"tensorflow", "keras", "kfp", "pydantic", "yaml", "numpy"} & imported("--help")


def test_compile_imports_no_tensorflow(tmp_path):
    modules = imported("compile", "--output", str(tmp_path / "pipeline.yaml"))

    assert "kfp" in modules
    assert not {"tensorflow", "keras", "numpy"} & modules


def test_the_help_lists_every_command(capsys):
    code, out, _ = call(capsys, "--help")

    assert code == 0
    for command in ("run", "compile", "freeze", "verify", "gate", "submit", "schedule", "registry"):
        assert re.search(rf"\b{command}\b", out)


def every_command(group=None, words=()):
    """The words of each command, from the command line's own tree."""
    group = group or typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        yield from every_command(command, (*words, name)) if hasattr(command, "commands") else [(*words, name)]


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_the_help_fits_a_narrow_terminal_and_cuts_no_word(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    _, out, _ = call(capsys, *command, "--help")

    assert "--debug" in out
    assert "\N{HORIZONTAL ELLIPSIS}" not in out, "a word of the help is cut"
    assert max(map(len, out.splitlines())) <= 80


def test_the_help_shows_values_in_brackets_as_they_are(capsys, monkeypatch):
    """Rich would take them for its own markup, and leave them out."""
    monkeypatch.setenv("COLUMNS", "80")
    for command in ("run", "submit", "schedule"):
        assert "data.classes=[a,b]" in call(capsys, command, "--help")[1]


def test_the_version_is_the_packages(capsys):
    from importlib.metadata import version

    assert call(capsys, "--version") == (0, f"frostline {version('frostline')}\n", "")


@pytest.mark.parametrize("arguments", [["run", "--fast"], ["rnu"], ["run"], ["schedule", "run.yaml", "--host", "h"]])
def test_wrong_usage_is_one_line_and_exit_code_2(capsys, arguments):
    code, out, err = call(capsys, *arguments)

    assert (code, out) == (2, "")
    assert "see frostline --help" in error_line(err)


def test_no_command_shows_the_help_and_exits_2(capsys):
    code, out, err = call(capsys)

    assert code == 2
    assert "submit" in out + err


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["epochs=many"], "epochs: received 'many'"),
        (["speed=9"], "speed: received 9; unknown key; known keys are model_name, source,"),
        (["epochs"], "--set: received 'epochs'; expected section.key=value"),
        (["backbone=InceptionV4"], "backbone: received 'InceptionV4'; did you mean InceptionV3"),
        (["image_size=64"], "image_size: received 64; InceptionV3 needs at least 75 pixels"),
        (["source=DIR"], "--set source="),
        (["freeze={match: '('}"], "match: '(' is not a regular expression"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_is_written(capsys, tmp_path, config, overrides, said):
    options = [part for override in overrides for part in ("--set", override)]
    code, out, err = call(capsys, "run", str(config), "--root", str(tmp_path / "runs"), *options)

    assert (code, out) == (2, "")
    assert said in error_line(err)
    assert not (tmp_path / "runs").exists()


def test_a_missing_configuration_is_named(capsys, tmp_path):
    code, _, err = call(capsys, "run", str(tmp_path / "nowhere.yaml"))

    assert code == 2
    assert "nowhere.yaml" in error_line(err)


def test_debug_shows_the_traceback_and_keeps_the_exit_code(capsys, tmp_path):
    code, _, err = call(capsys, "run", str(tmp_path / "nowhere.yaml"), "--debug")

    assert code == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("frostline: error: ")


def summary(outcome):
    return {
        "outcome": outcome,
        "seconds": 12.3,
        "steps": {"train": 9.1},
        "pages": {"report.html": "/runs/one/report.html"},
    }


@pytest.mark.parametrize("outcome", ["pushed: flowers version 1 is the champion", "held: too weak"])
def test_a_pushed_and_a_held_run_are_both_exit_code_0(capsys, monkeypatch, config, outcome):
    monkeypatch.setattr(cli, "run_config", lambda path, overrides, root: summary(outcome))

    code, out, _ = call(capsys, "run", str(config))
    assert code == 0
    assert out.splitlines()[0] == outcome
    assert "/runs/one/report.html" in out
    assert "train 9.1" in out

    code, out, _ = call(capsys, "run", str(config), "--json")
    assert (code, json.loads(out)) == (0, summary(outcome))


def test_a_failed_run_is_one_line_and_exit_code_1(capsys, monkeypatch, config):
    def failing(path, overrides, root):
        raise FrostlineError("step train failed: the loss is\nnot finite")

    monkeypatch.setattr(cli, "run_config", failing)

    code, _, err = call(capsys, "run", str(config))
    assert code == 1
    assert error_line(err) == "step train failed: the loss is not finite"


def test_an_interrupted_run_exits_130(capsys, monkeypatch, config):
    def interrupted(path, overrides, root):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run_config", interrupted)

    code, _, err = call(capsys, "run", str(config))
    assert code == 130
    assert error_line(err) == "interrupted"


def test_compile_writes_a_file_and_checks_it(capsys, tmp_path):
    path = tmp_path / "pipeline.yaml"
    assert call(capsys, "compile", "--output", str(path))[0] == 0
    assert call(capsys, "compile", "--check", str(path))[0] == 0

    path.write_text(path.read_text() + "# by hand\n")
    code, _, err = call(capsys, "compile", "--check", str(path))
    assert code == 1
    assert f"{path}: differs from what the pipeline compiles to" in error_line(err)

    path.unlink()
    assert "is missing" in error_line(call(capsys, "compile", "--check", str(path))[2])
    assert not path.exists()


def test_compile_takes_a_configurations_values_as_defaults(capsys, tmp_path, config):
    path = tmp_path / "pipeline.yaml"

    assert call(capsys, "compile", str(config), "--output", str(path))[0] == 0
    assert "defaultValue: tfds://tf_flowers" in path.read_text()


@pytest.fixture
def filled_registry(tmp_path):
    root = str(tmp_path / "registry")
    for number in (1, 2):
        directory = tmp_path / f"model{number}"
        directory.mkdir()
        (directory / "saved_model.pb").write_text(f"model {number}")
        version = registry.publish(
            root, "flowers", directory, identity=str(number) * 64, metadata={"accuracy": {"value": 0.9}}
        )
        if number == 1:
            registry.promote(root, version, expected=None, reason="the first")
    return root


def test_registry_list_marks_the_champion(capsys, filled_registry):
    code, out, _ = call(capsys, "registry", "list", filled_registry, "flowers")

    first, second = out.splitlines()
    assert code == 0
    assert first.split()[:2] == ["1", "champion"]
    assert second.split()[0] == "2"
    assert "champion" not in second

    rows = json.loads(call(capsys, "registry", "list", filled_registry, "flowers", "--json")[1])
    assert [(row["version"], row["champion"]) for row in rows] == [(1, True), (2, False)]


@pytest.mark.parametrize(
    ("reference", "number"), [("flowers", 1), ("flowers@champion", 1), ("flowers/2", 2), ("registry:flowers/2", 2)]
)
def test_registry_show_resolves_a_reference(capsys, filled_registry, reference, number):
    code, out, _ = call(capsys, "registry", "show", filled_registry, reference)
    assert code == 0
    assert "saved_model.pb" in out
    assert '"value": 0.9' in out

    shown = json.loads(call(capsys, "registry", "show", filled_registry, reference, "--json")[1])
    assert (shown["model"], shown["version"]) == ("flowers", number)
    assert shown["manifest"]["version"] == number


def test_what_the_registry_does_not_hold_is_exit_code_1(capsys, filled_registry):
    for arguments in (["list", filled_registry, "roses"], ["show", filled_registry, "flowers/9"]):
        code, out, err = call(capsys, "registry", *arguments)
        assert (code, out) == (1, "")
        assert error_line(err)
