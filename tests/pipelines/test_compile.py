"""The YAML file: the same bytes for the same input, checked, whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from frostline.config import FreezeConfig, RunConfig
from frostline.data.config import DataConfig
from frostline.errors import ConfigError, StorageError
from frostline.model.config import HeadConfig
from pipelines import compile as compiling
from pipelines.compile import compile_pipeline, compiled, is_current

REPOSITORY = Path(__file__).parents[2]
COMMITTED = REPOSITORY / "pipelines" / "compiled" / "finetune.yaml"


def defaults(text):
    spec = next(iter(yaml.safe_load_all(text)))
    form = spec["root"]["inputDefinitions"]["parameters"]
    return {name: entry["defaultValue"] for name, entry in form.items() if "defaultValue" in entry}


def test_the_committed_file_is_what_the_graph_compiles_to():
    assert is_current(COMMITTED), "write it with `make compile`"


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_bytes_depend_on_neither_process_nor_hash_seed_nor_working_directory(seed, tmp_path):
    output = tmp_path / "out.yaml"
    program = "import sys, pathlib, pipelines.compile as c; c.compile_pipeline(pathlib.Path(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, output],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(REPOSITORY)},
    )
    assert output.read_text() == compiled()


def without_image(arguments):
    """An image that is not named is no default, so the form asks for it."""
    return {name: value for name, value in arguments.items() if name != "image"}


def test_an_image_in_the_configuration_becomes_the_default(tmp_path):
    text = compile_pipeline(tmp_path / "named.yaml", RunConfig(image="registry.example/frostline:1")).read_text()
    assert defaults(text)["image"] == "registry.example/frostline:1"


def test_a_configuration_becomes_the_defaults_and_changes_nothing_else(tmp_path):
    config = RunConfig(
        model_name="digits",
        epochs=3,
        data=DataConfig(classes=("5", "6"), train_examples_per_class=20),
        freeze=FreezeConfig(through="block1"),
        head=HeadConfig(hidden=(64,)),
    )
    text = compile_pipeline(tmp_path / "digits.yaml", config).read_text()
    assert defaults(text) == without_image(config.arguments())
    assert defaults(compiled()) == without_image(RunConfig().arguments())  # an earlier configuration leaves no trace
    ours, plain = (list(yaml.safe_load_all(each)) for each in (text, compiled()))
    for documents in (ours, plain):
        del documents[0]["root"]["inputDefinitions"]
    assert ours == plain


def test_a_hostile_value_stays_a_value(tmp_path):
    source = "photos\nroot: {}\n---\n# {{$.inputs.parameters['image']}} 'quoted' \"twice\""
    text = compile_pipeline(tmp_path / "hostile.yaml", RunConfig(source=source)).read_text()
    assert defaults(text)["source"] == source


def test_is_current_notices_a_change_and_a_missing_file(tmp_path):
    copy = tmp_path / "copy.yaml"
    assert not is_current(copy)
    compile_pipeline(copy)
    assert is_current(copy)
    copy.write_text(copy.read_text() + "\n")
    assert not is_current(copy)
    compile_pipeline(copy, RunConfig(epochs=3))
    assert not is_current(copy)
    assert is_current(copy, RunConfig(epochs=3))


def test_a_pipeline_with_a_finding_gets_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "lint", lambda text: ["root.gate: If on a named output"])
    output = tmp_path / "out.yaml"
    with pytest.raises(ConfigError, match=r"finetune.py: received 'root.gate: If on a named output'") as caught:
        compile_pipeline(output)
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        compile_pipeline(tmp_path / "file" / "out.yaml")


def test_compiling_imports_no_tensorflow():
    program = "import sys, pipelines.compile as c; c.compiled(); sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=REPOSITORY)


def test_the_lint_alone_imports_no_kfp():
    program = "import sys, pipelines.lint; sys.exit('kfp' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY)


def test_the_form_offers_the_numbers_of_workers_that_are_accepted():
    """The web form makes a drop-down of `literals`, and the server enforces them."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    spec = next(yaml.safe_load_all(compiling.SHIPPED.read_text()))
    parsed = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    parameters = parsed.root.input_definitions.parameters
    assert [one.number_value for one in parameters["workers"].literals] == list(range(1, 9))
    assert [name for name, one in parameters.items() if one.literals] == ["workers"]
    for number in (0, 9):
        with pytest.raises(ValueError, match="workers"):
            RunConfig(workers=number)
