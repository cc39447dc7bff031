"""How large the Workflow of a run gets, from the compiled YAML and the run's parameters.

What a pod is told (its container, its component's specification, its inputs) stands in the workflow several times. How
often was measured with Kubeflow Pipelines 2.17.0 on an earlier graph of ten steps: 585 kB for eight of them at the root
and 139 kB for the two in the loop, where the sizes below add up to 314 and 68 kB.
"""

from __future__ import annotations

import json
from typing import Any

from frostline.config import RunConfig
from pipelines.compile import SHIPPED
from pipelines.lint import load

COMPRESSED = 2**20  # bytes from which Argo compresses a workflow; then the API's states of tasks no longer change
NOT_RETRIED = 2 * 2**20  # bytes from which the API refuses to retry a run
_ROOT, _LOOP = 585 / 314, 139 / 68
_ARTIFACT = 600  # bytes of one in a step's inputs
_LOOPED = "prepare"


def of_inputs(spec: dict[str, Any], config: RunConfig, step: str) -> int:
    """Bytes of a step's inputs, as a string in JSON; of all workers, one share is counted.

    Args:
        spec: the compiled pipeline's first document.
        config: the run's parameters.
        step: name of the task.
    """
    dags = [spec["root"], *spec["components"].values()]
    (task,) = [dag["dag"]["tasks"][step] for dag in dags if step in dag.get("dag", {}).get("tasks", {})]
    arguments, values = config.arguments(), {}
    for key, source in task["inputs"].get("parameters", {}).items():
        channel = source.get("componentInputParameter", key).removeprefix("pipelinechannel--")
        values[key] = arguments.get(channel, "x" * 10)
    outputs = spec["components"][f"comp-{step}"].get("outputDefinitions", {}).get("artifacts", {})
    artifacts = len(task["inputs"].get("artifacts", {})) + len(outputs)
    return len(json.dumps(json.dumps(values))) + _ARTIFACT * artifacts


def of_step(spec: dict[str, Any], config: RunConfig, step: str) -> int:
    """Bytes of one pod's step: its container and its component eight times, its inputs six times."""
    container = spec["deploymentSpec"]["executors"][f"exec-{step}"]["container"]
    told = len(json.dumps(container)) + len(json.dumps(spec["components"][f"comp-{step}"]))
    return 8 * told + 6 * of_inputs(spec, config, step)


def of_workflow(config: RunConfig) -> int:
    """Bytes of the workflow of a run."""
    spec = load(SHIPPED.read_text())[0]
    workers = min(config.workers, config.shards)
    steps = {name.removeprefix("exec-") for name in spec["deploymentSpec"]["executors"]} - {_LOOPED}
    fan_in = 2 * 6 * _ARTIFACT * (workers - 1)  # validate and train get the share of every worker
    root = sum(of_step(spec, config, step) for step in steps) + fan_in
    return round(_ROOT * root + _LOOP * workers * of_step(spec, config, _LOOPED))


def remark(config: RunConfig) -> str:
    """What Kubeflow cannot do with a run of this size, and what makes it smaller, in one line; empty if it can all."""
    size = of_workflow(config)
    if size < COMPRESSED:
        return ""
    lengths = {name: len(json.dumps(value)) for name, value in config.arguments().items()}
    longest = max(lengths, key=lengths.__getitem__)
    consequence = "the states that it shows of the steps stop changing"
    if size >= NOT_RETRIED:
        consequence += ", and a run that fails cannot be resumed"
    return (
        f"the run is large for Kubeflow, about {size / 2**20:.1f} MiB: {consequence}; fewer workers or a shorter "
        f"{longest} ({lengths[longest]:,} characters) make it smaller"
    )
