"""How large a run's Workflow gets, from the compiled YAML: above 1 MiB Argo compresses it, and task states freeze.

What a pod is told (its container, its component's specification, its inputs) stands in the workflow several times. How
often was measured with Kubeflow Pipelines 2.17.0 on an earlier graph of ten steps: 585 kB for eight of them at the root
and 139 kB for the two in the loop, where the sizes below add up to 314 and 68 kB.
"""

import json

import pytest

from frostline.config import RunConfig
from pipelines.compile import SHIPPED
from pipelines.lint import load

SPEC = load(SHIPPED.read_text())[0]
ROOT, LOOP = 585 / 314, 139 / 68
ARTIFACT = 600  # bytes of one in a step's inputs
LOOPED = "prepare"


def inputs_of(name):
    """Bytes of a step's inputs with the default arguments, as a string in JSON."""
    dags = [SPEC["root"], *SPEC["components"].values()]
    (task,) = [dag["dag"]["tasks"][name] for dag in dags if name in dag.get("dag", {}).get("tasks", {})]
    arguments, values = RunConfig().arguments(), {}
    for key, source in task["inputs"].get("parameters", {}).items():
        channel = source.get("componentInputParameter", key).removeprefix("pipelinechannel--")
        values[key] = arguments.get(channel, "x" * 10)
    outputs = SPEC["components"][f"comp-{name}"].get("outputDefinitions", {}).get("artifacts", {})
    artifacts = len(task["inputs"].get("artifacts", {})) + len(outputs)
    return len(json.dumps(json.dumps(values))) + ARTIFACT * artifacts


def size_of(name):
    """Bytes of one step: its container and its component eight times, its inputs six times."""
    container = SPEC["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
    told = len(json.dumps(container)) + len(json.dumps(SPEC["components"][f"comp-{name}"]))
    return 8 * told + 6 * inputs_of(name)


def workflow(workers):
    names = {name.removeprefix("exec-") for name in SPEC["deploymentSpec"]["executors"]}
    fan_in = 2 * 6 * ARTIFACT * (workers - 1)  # validate and train get the share of every worker
    root = sum(size_of(name) for name in names - {LOOPED}) + fan_in
    return ROOT * root + LOOP * workers * size_of(LOOPED)


@pytest.mark.parametrize(("workers", "most"), [(4, 700_000), (8, 2**20)])
def test_a_run_stays_below_what_the_engine_stores_plainly(workers, most):
    assert workflow(workers) <= most


def test_more_workers_than_that_are_not_accepted():
    assert RunConfig.model_fields["workers"].metadata[1].le == 8
    assert RunConfig().workers == 4


def test_the_largest_fan_in_is_far_below_what_a_pods_template_can_have():
    """128 kB; it depends on the workers, not on the shards, of which there may be 1,000."""
    assert RunConfig.model_fields["shards"].metadata[1].le == 1000
    assert inputs_of("train") + ARTIFACT * 8 < 100_000
