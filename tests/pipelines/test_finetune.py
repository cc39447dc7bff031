"""The graph: its parameters are the configuration, its tasks are ready for a cluster, and its edges are the design."""

import inspect

import pytest
import yaml

from frostline.config import RunConfig
from pipelines.compile import SHIPPED
from pipelines.finetune import VOLUME_CLAIM, VOLUME_PATH, finetune_graph


@pytest.fixture(scope="module")
def documents():
    return list(yaml.safe_load_all(SHIPPED.read_text()))


@pytest.fixture(scope="module")
def tasks(documents):
    """Every task that runs a component, by name, in whichever DAG it is."""
    spec = documents[0]
    dags = [spec["root"], *spec["components"].values()]
    found = {name: task for dag in dags for name, task in dag.get("dag", {}).get("tasks", {}).items()}
    return {name: task for name, task in found.items() if f"exec-{name}" in spec["deploymentSpec"]["executors"]}


def test_the_parameters_are_the_fields_of_the_configuration_with_their_defaults_and_descriptions(documents):
    parameters = inspect.signature(finetune_graph).parameters
    assert list(parameters) == list(RunConfig.model_fields)
    assert {name: parameter.default for name, parameter in parameters.items()} == RunConfig().arguments()

    form = documents[0]["root"]["inputDefinitions"]["parameters"]
    described = {name: field.description for name, field in RunConfig.model_fields.items()}
    assert {name: entry["description"] for name, entry in form.items()} == described


def test_every_task_has_the_image_retries_no_kfp_cache_and_the_volume(documents, tasks):
    mounts = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert len(tasks) == 10
    for name, task in tasks.items():
        inputs = task["inputs"]["parameters"]
        assert inputs["base_image"]["runtimeValue"]["constant"].startswith("{{$.inputs.parameters["), name
        assert task["retryPolicy"]["maxRetryCount"] == 3, name
        assert not task["cachingOptions"].get("enableCache"), name
        (mount,) = mounts[f"exec-{name}"]["pvcMount"]
        assert mount["mountPath"] == VOLUME_PATH, name
        assert mount["pvcNameParameter"]["runtimeValue"]["constant"] == VOLUME_CLAIM, name


def test_plan_and_ingest_start_at_once_so_that_a_wrong_policy_fails_in_seconds(tasks):
    assert [name for name, task in tasks.items() if not task.get("dependentTasks") and name in ("plan", "ingest")] == [
        "ingest",
        "plan",
    ]


def test_only_the_gates_verdict_leads_to_push(documents):
    spec = documents[0]
    branches = spec["components"]["comp-condition-branches-2"]["dag"]["tasks"]
    condition = {name: task["triggerPolicy"]["condition"] for name, task in branches.items()}
    inside = {name: set(spec["components"][f"comp-{name}"]["dag"]["tasks"]) for name in branches}
    assert inside == {"condition-3": {"push"}, "condition-4": {"hold"}}
    assert condition["condition-3"].endswith("['pipelinechannel--gate-Output'] == true")
    assert condition["condition-4"] == f"!({condition['condition-3']})"
