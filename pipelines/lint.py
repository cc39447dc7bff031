"""Find the shapes in a compiled pipeline that `kfp.local`, or the server, runs wrongly, most of them silently.

Each was found by running it in kfp 2.17.3. Its local orchestrator looks values up by the *name* of a channel, so a
branch can be skipped, or a loop body can read the wrong value, in a run that ends as a success. A pipeline whose YAML
has none of these shapes gives the same result locally as on a cluster. Two differences do not show in the YAML:
integers in lists and dicts arrive as floats, and a step's limits and environment have no effect locally.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

Node = dict[str, Any]  # a JSON object somewhere in a compiled pipeline
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml if PyYAML has it: ten times faster
_CHANNEL = "pipelinechannel--"
_REFERENCE = re.compile(r"inputs\.parameter_values\['([^']+)'\]")
_RESOURCE = re.compile(rf"inputs\.parameters\['{_CHANNEL}([^']+)'\]")
_LITERAL = re.compile(r"'[^']*'")
_OPERATORS = re.compile(r"(?:LITERAL(?!\s*LITERAL)|[\s()!<>=&|]|-?\d[\d.e+-]*|true|false|int|double)*")
_LARGEST_INTEGER = 2**53


def load(text: str) -> list[Any]:
    """Read the YAML documents of a compiled pipeline.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    return list(yaml.load_all(text, Loader=_Loader))


def lint(text: str) -> list[str]:
    """Find every shape that `kfp.local` runs wrongly.

    Args:
        text: a compiled pipeline that `pipelines.check.check` accepts.

    Returns:
        One line per finding: where it is, what goes wrong, and what to do instead; empty if there is none.
    """
    spec = load(text)[0]
    components = spec.get("components", {})
    found = [*_executors(spec), *_resources(spec)]
    for scope, component in [("root", spec["root"]), *components.items()]:
        found += _numbers(scope, component)
        tasks = component.get("dag", {}).get("tasks", {})
        for name, task in tasks.items():
            where = f"{scope}.{name}"
            found += _condition(where, task, component)
            found += _task(where, task)
            if "parameterIterator" in task or "artifactIterator" in task:
                found += _loop(where, name, task, component, components[task["componentRef"]["name"]])
        for key, output in component.get("dag", {}).get("outputs", {}).get("artifacts", {}).items():
            if len(output["artifactSelectors"]) > 1:
                found.append(f"{scope}.{key}: OneOf of artifacts fails locally and on backends to 2.16; use parameters")
    return found


def _resolves(channel: str, component: Node) -> bool:
    """Whether kfp.local finds the value of `channel` inside a DAG with this component's inputs."""
    name = channel.removeprefix(_CHANNEL)
    if "-Output" in name:  # kfp.local reads it as the unnamed output of the task before it
        return name.endswith("-Output")
    inputs = component.get("inputDefinitions", {}).get("parameters", {})
    return name in inputs or channel in inputs


def _condition(where: str, task: Node, component: Node) -> Iterator[str]:
    condition = task.get("triggerPolicy", {}).get("condition", "")
    for channel in dict.fromkeys(_REFERENCE.findall(condition)):
        if _resolves(channel, component):
            continue
        if "-loop-item" in channel or "-subvar-" in channel or "loop-item-param" in channel:
            yield f"{where}: If on a loop item ({channel}) is never true; put the condition inside the step"
        else:
            yield f"{where}: If on a named output ({channel}) is always skipped; return one unnamed value"
    rest = _LITERAL.sub(" LITERAL ", _REFERENCE.sub("0", condition))
    if not _OPERATORS.fullmatch(rest):
        yield f"{where}: If against a string with a quote is never true: {' '.join(condition.split())}"


def _task(where: str, task: Node) -> Iterator[str]:
    if task.get("cachingOptions", {}).get("cacheKey"):
        yield f"{where}: cache_key reuses one result for all arguments; leave it out"
    inputs = task.get("inputs", {})
    is_exit = any("taskFinalStatus" in source for source in inputs.get("parameters", {}).values())
    if is_exit and inputs.get("artifacts"):
        yield f"{where}: an exit task cannot take an artifact; pass a parameter"
    for name, source in inputs.get("parameters", {}).items():
        yield from _value(f"{where}.{name}", source.get("runtimeValue", {}).get("constant"))


def _loop(where: str, name: str, task: Node, component: Node, body: Node) -> Iterator[str]:
    iterator = task.get("parameterIterator") or task["artifactIterator"]
    items = iterator["items"].get("inputParameter", "")
    parameters = task.get("inputs", {}).get("parameters", {})
    siblings = component["dag"]["tasks"]
    if "-loop-item" in items.removeprefix(_CHANNEL) or (items and not _resolves(items, component)):
        yield f"{where}: ParallelFor over a named output or an outer loop's item ({items}); loop over an unnamed list"
    for key, source in parameters.items():
        if source.get("componentInputParameter", "").endswith("-loop-item"):
            yield f"{where}: an inner loop gets its own item instead of the outer loop's ({key}); use one loop"
        elif "taskOutputParameter" in source and key != items:
            yield f"{where}: the loop body gets the loop item instead of {key}; use an artifact or a pipeline parameter"
        elif "taskOutputParameter" in source and _reads(body, key):
            yield f"{where}: the loop body gets the loop item instead of the whole list {key}; use an artifact"
    for producer in _producers(task):
        if "parameterIterator" in siblings[producer] or "artifactIterator" in siblings[producer]:
            yield f"{where}: Collected from {producer} into a second loop; gather it in a step between them"
    collected = any(name in _producers(other) for other in siblings.values())
    if collected and _is_empty(iterator["items"], parameters.get(items, {}), component):
        yield f"{where}: Collected from a loop over an empty list fails; give the list an item"


def _producers(task: Node) -> set[str]:
    inputs = task.get("inputs", {})
    sources = [*inputs.get("parameters", {}).values(), *inputs.get("artifacts", {}).values()]
    outputs = [source.get("taskOutputParameter") or source.get("taskOutputArtifact") or {} for source in sources]
    return {output["producerTask"] for output in outputs if output}


def _reads(body: Node, parameter: str) -> bool:
    return any(
        source.get("componentInputParameter") == parameter
        for task in body["dag"]["tasks"].values()
        for source in task.get("inputs", {}).get("parameters", {}).values()
    )


def _is_empty(items: Node, source: Node, component: Node) -> bool:
    if "raw" in items:
        return not json.loads(items["raw"])
    inputs = component.get("inputDefinitions", {}).get("parameters", {})
    default = inputs.get(source.get("componentInputParameter"), {}).get("defaultValue")
    return isinstance(default, list) and not default


def _executors(spec: Node) -> Iterator[str]:
    for label, executor in spec.get("deploymentSpec", {}).get("executors", {}).items():
        command = executor.get("container", {}).get("command", [])
        if "container" in executor and not any("kfp.dsl.executor_main" in part for part in command):
            yield f"{label}: a container component does not run on a laptop; use dsl.component"


def _resources(spec: Node) -> Iterator[str]:
    """Resources from parameters that are no strings: of a number, the server makes an empty text or nothing at all."""
    types = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for label, executor in spec.get("deploymentSpec", {}).get("executors", {}).items():
        resources = json.dumps(executor.get("container", {}).get("resources", {}))
        for name in dict.fromkeys(_RESOURCE.findall(resources)):
            kind = types.get(name, {}).get("parameterType", "STRING")
            if kind != "STRING":
                yield f"{label}: a resource from {name}, a {kind}, is dropped silently on a server; make it a string"


def _numbers(scope: str, component: Node) -> Iterator[str]:
    for name, definition in component.get("inputDefinitions", {}).get("parameters", {}).items():
        yield from _value(f"{scope}.{name}", definition.get("defaultValue"))


def _value(where: str, value: Any) -> Iterator[str]:
    """Values that do not survive the conversion to protobuf doubles."""
    if isinstance(value, dict):
        for key, item in value.items():
            if item is None:
                yield f"{where}.{key}: null in a dict is refused; leave the key out"
            yield from _value(f"{where}.{key}", item)
    elif isinstance(value, list):
        for item in value:
            yield from _value(where, item)
    elif isinstance(value, int | float) and abs(value) >= _LARGEST_INTEGER:
        yield f"{where}: {value!r} is beyond 2**53 and loses digits; pass a string"
