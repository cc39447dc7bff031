"""Check that a compiled pipeline is complete: every field is known, and every reference leads somewhere.

KFP's own loader accepts a file with a dangling reference. The run then fails, or skips a task, when it gets there:
hours later, on a cluster. Here document 1 is parsed as PipelineSpec, each executor as ExecutorSpec, and document 2 as
PlatformSpec and KubernetesExecutorConfig. Unknown fields are refused, and every reference between them is followed.
"""

from __future__ import annotations

import graphlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from frostline.errors import ConfigError
from frostline.text import one_line
from pipelines.lint import Node, load

_PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.(?:parameters|artifacts)\['([^']+)'\]")
_OF_THE_POD = (
    "base_image",
    "cpu_limit",
    "cpu_request",
    "memory_limit",
    "memory_request",
    "accelerator_count",
    "accelerator_type",
)
_CONDITION = re.compile(r"inputs\.parameter_values\['([^']+)'\]")


def check(text: str) -> None:
    """Refuse a compiled pipeline that is not complete.

    Args:
        text: one YAML document (PipelineSpec), or two (PipelineSpec and PlatformSpec).

    Raises:
        ConfigError: names the place of the first fault, the value there, and what is expected.
    """
    try:
        parts = load(text)
    except yaml.YAMLError as error:
        raise ConfigError("pipeline", one_line(error, 500), "expected YAML") from None
    if not 1 <= len(parts) <= 2 or not all(isinstance(part, dict) for part in parts):
        raise ConfigError("pipeline", f"{len(parts)} documents", "expected a PipelineSpec and at most one PlatformSpec")
    spec, platform = _parse(parts[0], parts[1] if len(parts) == 2 else {})
    for path in ("pipelineInfo.name", "schemaVersion", "root.dag.tasks"):
        _required(spec, path, "pipeline")
    _components(spec)
    for scope, component in _all_components(spec):
        if "dag" in component:
            _dag(scope, component, spec["components"])
    _placeholders(spec, platform)


def _parse(spec: Node, platform: Node) -> tuple[Node, Node]:
    """Both documents as protobuf spells them, parsed with the messages that the backend uses."""
    from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
    from kfp.pipeline_spec import pipeline_spec_pb2 as ir

    spec = {"components": {}, **_into(ir.PipelineSpec(), spec, "pipeline")}
    spec["deploymentSpec"] = _into(ir.PipelineDeploymentConfig(), spec.get("deploymentSpec", {}), "deploymentSpec")
    platform = _into(ir.PlatformSpec(), platform, "platform")
    executors = spec["deploymentSpec"].get("executors", {})
    for name, single in platform.get("platforms", {}).items():
        if name != "kubernetes":
            raise ConfigError("platforms", name, "expected kubernetes")
        for label, config in single.get("deploymentSpec", {}).get("executors", {}).items():
            _known(label, executors, f"platforms.kubernetes.executors.{label}", "an executor")
            _into(kubernetes.KubernetesExecutorConfig(), config, f"platforms.kubernetes.executors.{label}")
    return spec, platform


def _into(message: Any, value: Any, where: str) -> Node:
    """`value` as the message spells it. Keys are sorted: a protobuf map's order changes from process to process."""
    from google.protobuf import json_format

    try:
        parsed = json_format.MessageToDict(json_format.ParseDict(value, message))
        return dict(json.loads(json.dumps(parsed, sort_keys=True)))
    except json_format.ParseError as error:
        reason = one_line(error, 500).split(" Available Fields")[0]
        raise ConfigError(where, reason, f"expected the fields of {message.DESCRIPTOR.name}") from None


def _components(spec: Node) -> None:
    """Check that components have a DAG or an executor, executors can run, and inputs and outputs have a type."""
    executors = spec["deploymentSpec"].get("executors", {})
    for label, executor in executors.items():
        if "container" in executor:
            _required(executor, "container.image", label)
            _required(executor, "container.command", label)
        elif not executor:
            raise ConfigError(label, executor, "expected a container or an importer")
    for scope, component in _all_components(spec):
        if "dag" not in component:
            _known(_required(component, "executorLabel", scope), executors, scope, "an executor")
        for side in ("inputDefinitions", "outputDefinitions"):
            definitions = component.get(side, {})
            for name, definition in definitions.get("parameters", {}).items():
                _required(definition, "parameterType", f"{scope}.{side}.{name}")
            for name, definition in definitions.get("artifacts", {}).items():
                _required(definition, "artifactType.schemaTitle", f"{scope}.{side}.{name}")


def _dag(scope: str, component: Node, components: Node) -> None:
    tasks = component["dag"].get("tasks", {})
    bodies = {}
    for name, task in tasks.items():
        reference = _required(task, "componentRef.name", f"{scope}.{name}")
        bodies[name] = _known(reference, components, f"{scope}.{name}.componentRef", "a component")
    for name, task in tasks.items():
        where = f"{scope}.{name}"
        for upstream in task.get("dependentTasks", []):
            _known(upstream, tasks, f"{where}.dependentTasks", "another task of the DAG")
        for kind in ("parameters", "artifacts"):
            for key, source in task.get("inputs", {}).get(kind, {}).items():
                _source(f"{where}.inputs.{key}", kind, source, component, bodies, task.get("dependentTasks", []))
        _inputs(where, task, bodies[name])
    try:
        graphlib.TopologicalSorter({name: task.get("dependentTasks", []) for name, task in tasks.items()}).prepare()
    except graphlib.CycleError as error:
        raise ConfigError(scope, " -> ".join(error.args[1]), "expected dependentTasks without a cycle") from None
    _outputs(scope, component, bodies)


def _source(where: str, kind: str, source: Node, component: Node, bodies: Node, upstream: Iterable[str]) -> None:
    """Check one input's source: an input of the DAG, another task of it, a constant or a final status."""
    single = kind.removesuffix("s").title()
    if f"componentInput{single}" in source:
        defined = component.get("inputDefinitions", {}).get(kind, {})
        _known(source[f"componentInput{single}"], defined, where, "an input of the enclosing DAG")
    elif f"taskOutput{single}" in source:
        output = source[f"taskOutput{single}"]
        _output(where, kind, output, "producerTask", bodies)
        _known(output["producerTask"], upstream, where, "listed in dependentTasks")
    elif "taskFinalStatus" in source:
        _known(_required(source, "taskFinalStatus.producerTask", where), bodies, where, "another task of the DAG")
    elif "runtimeValue" in source:
        _required(source, "runtimeValue.constant", where)
    else:
        raise ConfigError(where, source, "expected a source: an input, an output, a constant or a final status")


def _inputs(where: str, task: Node, body: Node) -> None:
    """Check that a task gives every input that its component needs, and no unknown one."""
    loop = task.get("parameterIterator") or task.get("artifactIterator") or {}
    if loop:
        kind = "parameters" if "parameterIterator" in task else "artifacts"
        defined = body.get("inputDefinitions", {}).get(kind, {})
        _known(_required(loop, "itemInput", where), defined, f"{where}.itemInput", "an input of the loop body")
        _items(where, _required(loop, "items", where), task.get("inputs", {}).get(kind, {}))
    for kind in ("parameters", "artifacts"):
        given = task.get("inputs", {}).get(kind, {})
        defined = body.get("inputDefinitions", {}).get(kind, {})
        for name, definition in defined.items():
            if name not in given and name != loop.get("itemInput") and not definition.get("isOptional"):
                raise ConfigError(f"{where}.inputs.{name}", None, "the component needs this input; it has no default")
        for name in given:
            # KFP passes a parameter of an image, a limit or a variable under a name that no component declares.
            if name not in _OF_THE_POD and not name.startswith("pipelinechannel--"):
                _known(name, defined, f"{where}.inputs", "an input of the component")
    parameters = task.get("inputs", {}).get("parameters", {})
    for name in _CONDITION.findall(task.get("triggerPolicy", {}).get("condition", "")):
        _known(name, parameters, f"{where}.triggerPolicy", "an input of the task")


def _items(where: str, items: Node, given: Node) -> None:
    if "raw" in items:
        try:
            if isinstance(json.loads(items["raw"]), list):
                return
        except ValueError:
            pass
        raise ConfigError(f"{where}.items", items["raw"], "expected a JSON list")
    _known(items.get("inputParameter", items.get("inputArtifact")), given, f"{where}.items", "an input of the task")


def _outputs(scope: str, component: Node, bodies: Node) -> None:
    for kind in ("parameters", "artifacts"):
        wired = component["dag"].get("outputs", {}).get(kind, {})
        defined = component.get("outputDefinitions", {}).get(kind, {})
        for name in {**wired, **defined}:
            _known(name, defined, f"{scope}.outputs", "listed in outputDefinitions")
            _known(name, wired, f"{scope}.outputs", "produced by a task")
        for name, output in wired.items():
            for selector in _selectors(f"{scope}.outputs.{name}", output):
                _output(f"{scope}.outputs.{name}", kind, selector, "producerSubtask", bodies)


def _selectors(where: str, output: Node) -> list[Node]:
    one_of = output.get("valueFromOneof", {}).get("parameterSelectors", [])
    single = [output["valueFromParameter"]] if "valueFromParameter" in output else []
    selectors: list[Node] = output.get("artifactSelectors", []) + one_of + single
    if not selectors:
        raise ConfigError(where, output, "expected the output of a task")
    return selectors


def _output(where: str, kind: str, reference: Node, task_key: str, bodies: Node) -> None:
    body = _known(_required(reference, task_key, where), bodies, where, "another task of the DAG")
    key = _required(reference, "outputParameterKey" if kind == "parameters" else "outputArtifactKey", where)
    _known(key, body.get("outputDefinitions", {}).get(kind, {}), where, f"an output of {reference[task_key]}")


def _placeholders(spec: Node, platform: Node) -> None:
    """Check that what executors, constants and platform settings read is an input of the task that runs."""
    executors = spec["deploymentSpec"].get("executors", {})
    settings = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    for scope, component in _all_components(spec):
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            where = f"{scope}.{name}"
            body = spec["components"][task["componentRef"]["name"]]
            label = body.get("executorLabel")
            inputs = {"inputs": task.get("inputs", {}), "defaults": body.get("inputDefinitions", {})}
            known = {key for group in inputs.values() for kind in group.values() for key in kind}
            for text in _strings([task.get("inputs", {}), executors.get(label, {}), settings.get(label, {})]):
                for read in _PLACEHOLDER.findall(text):
                    _known(read, known, f"{where}: {label or 'inputs'}", "an input of the task")
            defined = component.get("inputDefinitions", {}).get("parameters", {})
            for read in _values(settings.get(label, {}), "componentInputParameter"):
                _known(read, defined, f"{where}: platform {label}", "an input of the enclosing DAG")
            for output in _values(settings.get(label, {}), "taskOutputParameter"):
                tasks = {key: spec["components"][other["componentRef"]["name"]]
                         for key, other in component["dag"]["tasks"].items()}  # fmt: skip
                _output(f"{where}: platform {label}", "parameters", output, "producerTask", tasks)


def _all_components(spec: Node) -> Iterator[tuple[str, Node]]:
    yield "root", spec["root"]
    yield from spec["components"].items()


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _values(value: Any, wanted: str) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == wanted:
                yield item
            else:
                yield from _values(item, wanted)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, wanted)


def _required(value: Node, path: str, where: str) -> Any:
    current: Any = value
    for part in path.split("."):
        current = current.get(part) if isinstance(current, dict) else None
        if current is None or (current in ("", {}, []) and part != "constant"):
            raise ConfigError(f"{where}.{path}", current, "a value is needed")
    return current


def _known(name: Any, among: Any, where: str, what: str) -> Any:
    """What is called `name`; if there is no such thing, an error that lists what there is."""
    if name not in among:
        raise ConfigError(where, name, f"expected {what}: {', '.join(sorted(among)) or 'there is none'}")
    return among[name] if isinstance(among, dict) else name
