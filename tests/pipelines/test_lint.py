"""Each shape that kfp.local runs wrongly is found in a tiny pipeline that has it; similar correct ones are not."""

import copy
import os
import sys
from pathlib import Path
from typing import List, NamedTuple  # noqa: UP035  (KFP's own type vocabulary)

import pytest
import yaml
from kfp import compiler, components, dsl, local

from pipelines.compile import SHIPPED
from pipelines.lint import lint, load

STEP = {"base_image": "step:1", "install_kfp_package": False}


@dsl.component(**STEP)
def named() -> NamedTuple("Named", [("ok", bool), ("names", List[str])]):  # noqa: UP006
    return (True, ["a", "b"])


@dsl.component(**STEP)
def word() -> str:
    return "outer"


@dsl.component(**STEP)
def names() -> List[str]:  # noqa: UP006
    return ["a", "b"]


@dsl.component(**STEP)
def note(text: str, more: str = "") -> str:
    import os

    with open(os.environ["NOTES"], "a") as file:  # noqa: PTH123
        file.write(f"{text}{more} ")
    return text


@dsl.component(**STEP)
def length(items: list) -> int:
    return len(items)


@dsl.component(**STEP)
def make(text: str, made: dsl.Output[dsl.Artifact]):
    with open(made.path, "w") as file:  # noqa: PTH123
        file.write(text)


@dsl.component(**STEP)
def use(made: dsl.Input[dsl.Artifact]):
    pass


@dsl.component(**STEP)
def gather(made: dsl.Input[List[dsl.Artifact]]):  # noqa: UP006
    pass


@dsl.container_component
def container():
    return dsl.ContainerSpec(image="step:1", command=["echo"])


def if_named_output():
    with dsl.If(named().outputs["ok"] == True):  # noqa: E712
        note(text="in")


def if_item_of_an_output():
    with dsl.ParallelFor(names().output) as item, dsl.If(item == "a"):
        note(text="in")


def if_item_of_a_dict():
    with dsl.ParallelFor([{"k": "a"}]) as item, dsl.If(item.k == "a"):
        note(text="in")


def if_quote(text: str = "it's"):
    with dsl.If(text == "it's"):
        note(text="in")


def loop_over_named_output():
    with dsl.ParallelFor(named().outputs["names"]) as item:
        note(text=item)


def body_reads_outer_output():
    outer = word()
    with dsl.ParallelFor(["a", "b"]) as item:
        note(text=item, more=outer.output)


def body_reads_its_own_list():
    items = names()
    with dsl.ParallelFor(items.output) as item:
        note(text=item)
        length(items=items.output)


def inner_loop_reads_outer_item(left: list = ["a", "b"], right: list = ["1", "2"]):  # noqa: B006
    with dsl.ParallelFor(left) as a, dsl.ParallelFor(right) as b:
        note(text=a, more=b)


def inner_loop_over_outer_item(items: List[List[str]] = [["a"], ["b"]]):  # noqa: B006, UP006
    with dsl.ParallelFor(items) as inner, dsl.ParallelFor(inner) as item:
        note(text=item)


def collected_into_second_loop():
    with dsl.ParallelFor(["a", "b"]) as item:
        noted = note(text=item)
    with dsl.ParallelFor(["1", "2"]):
        length(items=dsl.Collected(noted.output))


def collected_from_an_empty_list(items: list = []):  # noqa: B006
    with dsl.ParallelFor(items) as item:
        made = make(text=item)
    gather(made=dsl.Collected(made.outputs["made"]))


def cache_key():
    word().set_caching_options(True, cache_key="mine")


def one_of_artifacts(text: str = "a"):
    with dsl.If(text == "a"):
        left = make(text="l")
    with dsl.Else():
        right = make(text="r")
    use(made=dsl.OneOf(left.outputs["made"], right.outputs["made"]))


def container_step():
    container()


def accelerators_by_number(count: int = 1):
    word().set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(count)


def memory_by_number(size: float = 4e9):
    word().set_memory_limit(size)


def large_integer(number: int = 2**53 + 1):
    note(text=f"{number}")


WRONG = [
    (if_named_output, "root.condition-1: If on a named output (pipelinechannel--named-ok)"),
    (if_item_of_an_output, "If on a loop item (pipelinechannel--names-Output-loop-item)"),
    (if_item_of_a_dict, "If on a loop item (pipelinechannel--loop-item-param-1-subvar-k)"),
    (if_quote, "root.condition-1: If against a string with a quote"),
    (loop_over_named_output, "root.for-loop-1: ParallelFor over a named output"),
    (body_reads_outer_output, "the loop body gets the loop item instead of pipelinechannel--word-Output"),
    (body_reads_its_own_list, "the loop item instead of the whole list pipelinechannel--names-Output"),
    (inner_loop_reads_outer_item, "comp-for-loop-1.for-loop-2: an inner loop gets its own item"),
    (inner_loop_over_outer_item, "outer loop's item (pipelinechannel--items-loop-item)"),
    (collected_into_second_loop, "Collected from for-loop-2 into a second loop"),
    (collected_from_an_empty_list, "root.for-loop-1: Collected from a loop over an empty list"),
    (cache_key, "root.word: cache_key"),
    (one_of_artifacts, "OneOf of artifacts"),
    (container_step, "exec-container: a container component"),
    (accelerators_by_number, "exec-word: a resource from count, a NUMBER_INTEGER, is dropped silently"),
    (memory_by_number, "exec-word: a resource from size, a NUMBER_DOUBLE, is dropped silently"),
    (large_integer, "root.number: 9007199254740992.0 is beyond 2**53"),
]


def if_and_else_on_a_named_output():
    answer = named().outputs["ok"]
    with dsl.If(answer == True):  # noqa: E712
        note(text="in")
    with dsl.Else():
        note(text="else")


def conditions(text: str = "a", number: int = 3):
    with dsl.If(text == 'say "a"'), dsl.If(number > 2), dsl.If(number <= -1.5):
        note(text="in")


def if_item_of_a_constant_list():
    with dsl.ParallelFor(["a", "b"]) as item, dsl.If(item == "a"):
        note(text="in")


def nested_constant_lists():
    with dsl.ParallelFor(["a", "b"]) as a, dsl.ParallelFor(["1", "2"]) as b:
        note(text=a, more=b)


def body_reads_a_pipeline_parameter(text: str = "x"):
    with dsl.ParallelFor(names().output) as item:
        note(text=item, more=text)


def resources_by_text(count: str = "1", memory: str = "4Gi"):
    word().set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(count).set_memory_limit(memory)


RIGHT = [
    resources_by_text,
    if_and_else_on_a_named_output,
    conditions,
    if_item_of_a_constant_list,
    nested_constant_lists,
    body_reads_a_pipeline_parameter,
]


def compiled(function, directory):
    path = directory / "pipeline.yaml"
    pipeline = dsl.pipeline(name=function.__name__.replace("_", "-"))(function)
    compiler.Compiler().compile(pipeline, str(path))
    return path


@pytest.mark.parametrize(("function", "expected"), WRONG, ids=lambda value: getattr(value, "__name__", ""))
def test_the_shape_is_named(function, expected, tmp_path):
    findings = lint(compiled(function, tmp_path).read_text())
    assert any(expected in finding for finding in findings), findings
    assert all("\n" not in finding for finding in findings)


@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_a_similar_correct_shape_is_not(function, tmp_path):
    assert lint(compiled(function, tmp_path).read_text()) == []


def test_the_real_pipeline_has_none_of_them():
    assert lint(SHIPPED.read_text()) == []


def test_shapes_that_the_compiler_refuses_are_named_in_a_written_file():
    spec, platform = load(SHIPPED.read_text())
    changed = copy.deepcopy(spec)
    changed["root"]["dag"]["tasks"]["validate"]["inputs"]["parameters"]["status"] = {
        "taskFinalStatus": {"producerTask": "train"}
    }
    changed["root"]["inputDefinitions"]["parameters"]["head"]["defaultValue"]["hidden"] = None
    findings = lint(yaml.safe_dump_all([changed, platform]))
    assert findings == [
        "root.head.hidden: null in a dict is refused; leave the key out",
        "root.validate: an exit task cannot take an artifact; pass a parameter",
    ]


@pytest.mark.filterwarnings("ignore:You may be attemping to run a task:RuntimeWarning")
@pytest.mark.parametrize(
    ("function", "received", "correct"),
    [
        (if_named_output, "", "in"),
        (if_item_of_an_output, "", "in"),
        (if_quote, "", "in"),
        (body_reads_outer_output, "aa bb", "aouter bouter"),
        (inner_loop_reads_outer_item, "11 11 22 22", "a1 a2 b1 b2"),
        (if_and_else_on_a_named_output, "in", "in"),
        (nested_constant_lists, "a1 a2 b1 b2", "a1 a2 b1 b2"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_kfp_local_still_runs_it_so(function, received, correct, tmp_path, monkeypatch):
    """If this fails after an upgrade of kfp, a shape must be removed from the lint, or added to it."""
    notes = tmp_path / "notes"
    notes.touch()
    monkeypatch.setenv("NOTES", str(notes))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setitem(sys.modules, "docker", None)  # kfp takes a folder `docker` on the path for Docker's client
    monkeypatch.setattr(local.config.LocalExecutionConfig, "instance", None)
    path = compiled(function, tmp_path)
    local.init(local.SubprocessRunner(use_venv=False), str(tmp_path / "root"), str(tmp_path / "workspace"))
    components.load_component_from_file(str(path))()
    assert sorted(notes.read_text().split()) == received.split()
    assert (lint(path.read_text()) == []) == (received == correct)
