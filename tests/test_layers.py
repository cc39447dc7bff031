"""The layer rules: packages downward only, one hop from a task to its module, contracts that stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
COMPONENTS = sorted(path for path in (ROOT / "components").glob("*.py") if path.stem != "__init__")


def test_the_import_contracts_hold():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "6 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.stem)
def test_a_component_is_a_short_contract_with_one_lazy_import_of_its_own_stage(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 40
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert function.name == path.stem
    assert ast.get_docstring(function)
    top = {alias for node in tree.body for alias in imported(node)}
    assert top <= {"kfp", *sys.stdlib_module_names}
    inside = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
    (lazy,) = inside
    assert isinstance(lazy, ast.ImportFrom)
    assert (lazy.module, [name.name for name in lazy.names]) == ("frostline", [path.stem])
    calls = [
        node for node in ast.walk(function) if isinstance(node, ast.Call) and ast.unparse(node.func) == "stage.run"
    ]
    assert len(calls) == 1


def imported(node):
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    return [node.module.split(".")[0]] if isinstance(node, ast.ImportFrom) else []


def test_every_task_has_a_component_and_a_module_of_its_name():
    spec = next(yaml.safe_load_all((ROOT / "pipelines/compiled/finetune.yaml").read_text()))
    tasks = {name.removeprefix("exec-") for name in spec["deploymentSpec"]["executors"]}
    assert tasks == {path.stem for path in COMPONENTS}
    assert all((ROOT / "frostline" / f"{task}.py").is_file() for task in tasks)


def test_every_library_module_has_a_docstring_and_stays_below_400_lines():
    for folder in ("frostline", "components", "pipelines"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text()
            assert ast.get_docstring(ast.parse(text)), path
            assert len(text.splitlines()) <= 400, path
