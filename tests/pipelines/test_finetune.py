"""The graph: its parameters are the configuration, its tasks are ready for a cluster, and its edges are the design."""

import inspect
import json

import pytest
import yaml
from kfp import dsl

from components import plan
from frostline import attempts
from frostline.config import RunConfig
from pipelines.compile import SHIPPED
from pipelines.finetune import DEADLINE, TIMEOUTS, VOLUME_CLAIM, VOLUME_PATH, finetune_graph


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
    assert set(parameters) == set(RunConfig.model_fields)
    assert parameters["image"].default is inspect.Parameter.empty  # no default could be pulled
    defaults = {name: parameter.default for name, parameter in parameters.items() if name != "image"}
    assert {**defaults, "image": ""} == RunConfig().arguments()

    form = documents[0]["root"]["inputDefinitions"]["parameters"]
    described = {name: field.description for name, field in RunConfig.model_fields.items()}
    assert {name: entry["description"] for name, entry in form.items()} == described
    assert "defaultValue" not in form["image"]


def test_plan_sees_every_parameter(tasks):
    inputs = tasks["plan"]["inputs"]["parameters"]
    assert {name: inputs[name].get("componentInputParameter") for name in RunConfig.model_fields} == {
        name: name for name in RunConfig.model_fields
    }


def test_the_component_of_plan_hands_on_every_parameter_even_a_null(monkeypatch):
    """A null of the form is no default: plan refuses it, and not a step hours later."""
    handed = {}
    monkeypatch.setattr(attempts, "run", lambda stage, **arguments: handed.update(arguments))
    parameters = {**RunConfig().arguments(), "gate": None, "epochs": None}
    plan.plan(
        **parameters,
        freeze_plan=dsl.Artifact(uri="/tmp/plan"),
        freeze_plan_page=dsl.HTML(uri="/tmp/page"),
    )
    assert handed["parameters"] == parameters


def test_every_task_has_what_it_needs_on_a_cluster(documents, tasks):
    """Image, retries, resources, a time-out, a security context, the volume, a /tmp; and not the cache of KFP."""
    spec, platform = documents[0], documents[1]["platforms"]["kubernetes"]
    assert len(tasks) == 8
    for name, task in tasks.items():
        inputs, on_node = task["inputs"]["parameters"], platform["deploymentSpec"]["executors"][f"exec-{name}"]
        assert inputs["base_image"]["runtimeValue"]["constant"].startswith("{{$.inputs.parameters["), name
        assert task["retryPolicy"]["maxRetryCount"] == 3, name
        assert not task["cachingOptions"].get("enableCache"), name
        (mount,) = on_node["pvcMount"]
        assert mount["mountPath"] == VOLUME_PATH, name
        assert mount["pvcNameParameter"]["runtimeValue"]["constant"] == VOLUME_CLAIM, name
        assert on_node["securityContext"] == {"runAsNonRoot": True}, name
        assert on_node["activeDeadlineSeconds"] == str(TIMEOUTS[name]), name
        assert {"mountPath": "/tmp", "volumeName": "tmp"} in on_node["emptyDirMounts"], name
        resources = spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]["resources"]
        source = "train_" if name == "train" else ""
        for kind in ("Cpu", "Memory"):
            wanted = f"{{{{$.inputs.parameters['pipelinechannel--{source}{kind.lower()}']}}}}"
            assert (resources[f"resource{kind}Request"], resources[f"resource{kind}Limit"]) == (wanted, wanted), name
            assert inputs[f"pipelinechannel--{source}{kind.lower()}"], name
    assert sum(TIMEOUTS.values()) > DEADLINE > max(TIMEOUTS.values())
    assert platform["pipelineConfig"] == {"activeDeadlineSeconds": DEADLINE}


def test_train_alone_has_accelerators_and_chooses_its_node(documents):
    spec, platform = documents[0], documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    accelerated = {
        name: executor["container"]["resources"]["accelerator"]
        for name, executor in spec["deploymentSpec"]["executors"].items()
        if "accelerator" in executor["container"]["resources"]
    }
    assert list(accelerated) == ["exec-train"]
    train = platform["exec-train"]
    assert {"mountPath": "/dev/shm", "volumeName": "shm", "medium": "Memory", "sizeLimit": "1Gi"} in train[
        "emptyDirMounts"
    ]
    (selector,), (toleration,) = [train["nodeSelector"]], train["tolerations"]
    assert "node_selector" in json.dumps(selector)
    assert "tolerations" in json.dumps(toleration)
    types = documents[0]["root"]["inputDefinitions"]["parameters"]
    assert types["accelerator_count"] == {
        "defaultValue": "0", "description": RunConfig.model_fields["accelerator_count"].description,
        "isOptional": True, "parameterType": "STRING",
    }  # fmt: skip


def test_plan_and_ingest_start_at_once_so_that_a_wrong_policy_fails_in_seconds(tasks):
    assert [name for name, task in tasks.items() if not task.get("dependentTasks") and name in ("plan", "ingest")] == [
        "ingest",
        "plan",
    ]


def test_the_outcome_is_that_of_the_last_task_at_the_root(documents, tasks):
    root = documents[0]["root"]["dag"]
    assert root["outputs"]["parameters"]["Output"]["valueFromParameter"]["producerSubtask"] == "release"
    assert not [name for name, task in root["tasks"].items() if "release" in task.get("dependentTasks", [])]
    assert set(root["tasks"]) == {*tasks, "for-loop-1"} - {"prepare"}
    assert not [task for task in root["tasks"].values() if "triggerPolicy" in task]


def test_the_gate_fetches_no_model(documents):
    inputs = documents[0]["components"]["comp-gate"]["inputDefinitions"]["artifacts"]
    assert set(inputs) == {"evaluation", "info", "record"}
    assert documents[0]["root"]["dag"]["tasks"]["gate"]["inputs"]["artifacts"]["record"] == {
        "taskOutputArtifact": {"outputArtifactKey": "record", "producerTask": "train"}
    }


def levels(spec, dag, name):
    """Levels that run one after the other up to the end of a task: itself, those before it, and those inside it."""
    task = dag["tasks"][name]
    before = max((levels(spec, dag, one) for one in task.get("dependentTasks", ())), default=0)
    inside = spec["components"][task["componentRef"]["name"]].get("dag")
    return before + 1 + (longest(spec, inside) if inside else 0)


def longest(spec, dag):
    return max(levels(spec, dag, name) for name in dag["tasks"])


def test_the_longest_path_has_eight_levels(documents):
    """Each level is a driver pod and the pods that it starts, so 20 s or more on a cluster; a loop is one more."""
    spec = documents[0]
    assert longest(spec, spec["root"]["dag"]) == 8
    assert levels(spec, spec["root"]["dag"], "for-loop-1") == 3  # ingest, the loop, prepare
    assert levels(spec, spec["root"]["dag"], "plan") == levels(spec, spec["root"]["dag"], "ingest") == 1
