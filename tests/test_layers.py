"""The structure of the code: import contracts, components of one call, small files, a test file per module."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
COMPONENTS = sorted(path for path in (ROOT / "components").glob("*.py") if path.stem != "__init__")
STAGES = {path.stem for path in COMPONENTS}
GROUND = {
    "attempts",
    "quiet",
    "config",
    "consistency",
    "section",
    "errors",
    "events",
    "artifacts",
    "documents",
    "digests",
    "files",
    "text",
    "warm",
    "yaml_text",
}
PACKAGES = ("frostline", "components", "pipelines")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST_MODULE = 300
LARGEST_FOLDER = 22
TYPES_ONLY = {  # modules that hold nothing to test
    "pipelines/documents.py",
}


def names(paths):
    """The paths relative to the repository, as parameters of a test."""
    return [path.relative_to(ROOT).as_posix() for path in paths]


def test_the_import_contracts_hold():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert CONTRACTS
    assert f"{len(CONTRACTS)} kept, 0 broken" in done.stdout


def test_what_a_contract_says_starts_without_tensorflow_does():
    """The contract ignores imports inside functions; here every module of its packages is really imported."""
    (contract,) = [contract for contract in CONTRACTS if contract["name"] == "These start without TensorFlow"]
    program = (
        "import importlib, pkgutil, sys\n"
        f"for name in {contract['source_modules']!r}:\n"
        "    module = importlib.import_module(name)\n"
        "    for inner in pkgutil.walk_packages(getattr(module, '__path__', []), f'{name}.'):\n"
        "        importlib.import_module(inner.name)\n"
        f"print(sorted(set(sys.modules) & set({contract['forbidden_modules']!r})))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.stem)
def test_a_component_is_a_short_contract_with_one_call_of_its_own_stage(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 40
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert function.name == path.stem
    assert ast.get_docstring(function)
    assert not function.decorator_list  # the pipeline makes the component; a pod only imports the function
    top = {alias for node in tree.body for alias in imported(node)}
    assert top <= {"kfp", *sys.stdlib_module_names}
    inside = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
    (lazy,) = inside
    assert isinstance(lazy, ast.ImportFrom)
    assert (lazy.module, [name.name for name in lazy.names]) == ("frostline", ["attempts"])
    (call,) = [
        node for node in ast.walk(function) if isinstance(node, ast.Call) and ast.unparse(node.func) == "attempts.run"
    ]
    assert ast.literal_eval(call.args[0]) == path.stem
    stage = ast.parse((ROOT / "frostline" / path.name).read_text())
    (run,) = [node for node in stage.body if isinstance(node, ast.FunctionDef) and node.name == "run"]
    assert {keyword.arg for keyword in call.keywords} == {argument.arg for argument in run.args.kwonlyargs}


def imported(node):
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    return [node.module.split(".")[0]] if isinstance(node, ast.ImportFrom) else []


def test_every_task_has_a_component_and_a_stage_of_its_name():
    spec = next(yaml.safe_load_all((ROOT / "pipelines/compiled/finetune.yaml").read_text()))
    tasks = {name.removeprefix("exec-") for name in spec["deploymentSpec"]["executors"]}
    assert len(tasks) == 8
    assert tasks == STAGES


def test_the_top_of_the_library_has_the_stages_and_the_ground_and_nothing_else():
    top = (ROOT / "frostline").iterdir()
    modules = {path.stem for path in top if path.suffix == ".py" and path.stem != "__init__"}
    assert modules | {"documents"} == STAGES | GROUND


@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_stage_is_called_by_keyword(name):
    tree = ast.parse((ROOT / "frostline" / f"{name}.py").read_text())
    (run,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "run"]
    assert run.args.kwonlyargs
    assert not [*run.args.posonlyargs, *run.args.args]
    assert run.args.vararg is None


def test_every_module_has_a_docstring_and_a_limited_length():
    assert len(MODULES) > len(STAGES) + len(GROUND)
    texts = {name: path.read_text() for name, path in zip(names(MODULES), MODULES, strict=True)}
    assert [name for name, text in texts.items() if not ast.get_docstring(ast.parse(text))] == []
    lengths = {name: len(text.splitlines()) for name, text in texts.items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_no_folder_holds_too_many_modules():
    folders = {}
    for path in MODULES:
        folders.setdefault(path.parent, []).append(path.name)
    assert len(folders) > 10
    too_large = {folder.name: len(files) for folder, files in folders.items() if len(files) > LARGEST_FOLDER}
    assert too_large == {}


TESTED = [
    name
    for name in names(MODULES)
    if not name.endswith("__init__.py") and not name.startswith(("frostline/documents/", "components/"))
]


def test_there_are_modules_to_test():
    assert len(TESTED) > 80
    assert set(TESTED) >= TYPES_ONLY


@pytest.mark.parametrize("name", [name for name in TESTED if name not in TYPES_ONLY])
def test_a_module_has_its_own_test_file(name):
    """For frostline/a/b.py it is tests/frostline/a/test_b.py; test_b_TOPIC.py may hold more."""
    path = Path(name)
    tests = ROOT / "tests" / path.parent / f"test_{path.stem}.py"
    assert tests.is_file(), f"{name} needs tests in {tests.relative_to(ROOT)}"
    assert [node for node in ast.walk(ast.parse(tests.read_text())) if is_test(node)], f"{tests} has no test"


def is_test(node):
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
