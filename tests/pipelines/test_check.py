"""A compiled pipeline with one fault in it is refused, and the message says where the fault is."""

import copy

import pytest
import yaml
from kfp import compiler, dsl

from frostline.errors import ConfigError
from pipelines.check import check
from pipelines.compile import SHIPPED
from pipelines.lint import load

DOCUMENTS = load(SHIPPED.read_text())
TASKS = "0 root dag tasks"
ONEOF = "0 components comp-condition-branches-1 dag outputs parameters pipelinechannel--condition-branches-1-oneof-1"
PVC = "1 platforms kubernetes deploymentSpec executors exec-train pvcMount 0 pvcNameParameter"
DELETE = object()


@pytest.fixture(scope="module")
def branches(tmp_path_factory):
    """The document of a pipeline with two branches, of which one gives the output."""

    @dsl.component(install_kfp_package=False)
    def ask() -> bool:
        return True

    @dsl.component(install_kfp_package=False)
    def act(word: str) -> str:
        return word

    @dsl.pipeline
    def branched(word: str) -> str:
        asked = ask()
        with dsl.If(asked.output == True):  # noqa: E712  (a KFP expression, not a bool)
            first = act(word=word)
        with dsl.Else():
            second = act(word=word)
        return dsl.OneOf(first.output, second.output)

    path = tmp_path_factory.mktemp("branches") / "pipeline.yaml"
    compiler.Compiler().compile(branched, str(path))
    return load(path.read_text())


def changed(path, value, documents=DOCUMENTS):
    """The two documents as YAML, with the value at `path` replaced or deleted."""
    result = copy.deepcopy(documents)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split()]
    target = result
    for part in parents:
        target = target[part]
    if value is DELETE:
        del target[last]
    else:
        target[last] = value
    return yaml.safe_dump_all(result)


def test_the_real_pipeline_is_complete():
    check(yaml.safe_dump_all(DOCUMENTS))
    check(yaml.safe_dump(DOCUMENTS[0]))


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (f"{TASKS} train componentRef name", "comp-nowhere", "root.train.componentRef"),
        ("0 components comp-train executorLabel", "exec-nowhere", "comp-train"),
        (f"{TASKS} train dependentTasks 0", "nowhere", "root.train.dependentTasks"),
        (f"{TASKS} train inputs artifacts info taskOutputArtifact producerTask", "nowhere", "root.train.inputs.info"),
        (f"{TASKS} train inputs artifacts info taskOutputArtifact outputArtifactKey", "x", "root.train.inputs.info"),
        (f"{TASKS} train inputs parameters epochs componentInputParameter", "x", "root.train.inputs.epochs"),
        (
            f"{TASKS} train inputs parameters epochs",
            {"taskOutputParameter": {"producerTask": "plan", "outputParameterKey": "x"}},
            "root.train.inputs.epochs",
        ),
        (f"{TASKS} train inputs parameters epochs", {"taskFinalStatus": {"producerTask": "x"}}, "root.train.inputs"),
        (f"{TASKS} for-loop-1 parameterIterator itemInput", "x", "root.for-loop-1.itemInput"),
        (f"{TASKS} for-loop-1 parameterIterator items inputParameter", "x", "root.for-loop-1.items"),
        (f"{TASKS} for-loop-1 parameterIterator items", {"raw": "{}"}, "root.for-loop-1.items"),
        ("0 root dag outputs parameters Output valueFromParameter producerSubtask", "x", "root.outputs.Output"),
        ("0 root dag outputs parameters Output valueFromParameter outputParameterKey", "x", "root.outputs.Output"),
        (
            "0 components comp-for-loop-1 dag tasks prepare inputs artifacts dataset componentInputArtifact",
            "x",
            "comp-for-loop-1.prepare.inputs.dataset",
        ),
        (
            "0 components comp-for-loop-1 dag outputs artifacts pipelinechannel--prepare-share "
            "artifactSelectors 0 outputArtifactKey",
            "x",
            "comp-for-loop-1.outputs.pipelinechannel--prepare-share",
        ),
        ("0 root outputDefinitions parameters more", {"parameterType": "STRING"}, "root.outputs"),
        ("0 deploymentSpec executors exec-train container image", "{{$.inputs.parameters['x']}}", "root.train"),
        (
            f"{TASKS} train inputs parameters base_image runtimeValue constant",
            "{{$.inputs.parameters['x']}}",
            "root.train",
        ),
        ("1 platforms kubernetes deploymentSpec executors exec-x", {}, "platforms.kubernetes.executors.exec-x"),
        (PVC, {"componentInputParameter": "x"}, "root.train: platform exec-train"),
        (
            PVC,
            {"taskOutputParameter": {"producerTask": "x", "outputParameterKey": "y"}},
            "root.train: platform exec-train",
        ),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(path, value, where):
    with pytest.raises(ConfigError) as caught:
        check(changed(path, value))
    message = str(caught.value)
    assert message.startswith(where), message
    assert "expected" in message
    assert "\n" not in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("path", "value", "where"), [
    ("0 components comp-condition-2 dag tasks act inputs parameters word componentInputParameter", "x",
     "comp-condition-2.act.inputs.word"),
    ("0 components comp-condition-branches-1 dag tasks condition-2 triggerPolicy condition",
     "inputs.parameter_values['x'] == true", "comp-condition-branches-1.condition-2.triggerPolicy"),
    (f"{ONEOF} valueFromOneof parameterSelectors 1 producerSubtask", "x", "comp-condition-branches-1.outputs"),
    (f"{ONEOF} valueFromOneof parameterSelectors 1 outputParameterKey", "x", "comp-condition-branches-1.outputs"),
])  # fmt: skip
def test_references_between_branches_are_followed(branches, path, value, where):
    check(yaml.safe_dump_all(branches))
    with pytest.raises(ConfigError) as caught:
        check(changed(path, value, branches))
    assert str(caught.value).startswith(where)


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("0 more", "pipeline"),
        ("0 root dag tasks train more", "pipeline"),
        ("0 components comp-train more", "pipeline"),
        ("0 deploymentSpec executors exec-train container more", "deploymentSpec"),
        ("1 more", "platform"),
        (
            "1 platforms kubernetes deploymentSpec executors exec-train more",
            "platforms.kubernetes.executors.exec-train",
        ),
        ("1 platforms kubernetes deploymentSpec executors exec-train pvcMount 0 more", "platforms.kubernetes"),
        ("1 platforms vertex", "platforms: received 'vertex'"),
        (f"{TASKS} train inputs parameters more", "root.train.inputs"),
    ],
)
def test_an_unknown_field_is_refused(path, where):
    value = {} if path.endswith("vertex") else {"componentInputParameter": "epochs"}
    with pytest.raises(ConfigError) as caught:
        check(changed(path, value))
    assert str(caught.value).startswith(where)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("0 pipelineInfo", "pipeline.pipelineInfo.name"),
        ("0 schemaVersion", "pipeline.schemaVersion"),
        ("0 root", "pipeline.root.dag.tasks"),
        ("0 components", "root.evaluate.componentRef"),
        ("0 deploymentSpec", "platforms.kubernetes.executors.exec-evaluate"),
        (f"{TASKS} plan", "root.for-loop-1"),
        (f"{TASKS} train componentRef", "root.train.componentRef"),
        (f"{TASKS} train dependentTasks", "root.train.inputs"),
        (f"{TASKS} train inputs artifacts info", "root.train.inputs.info"),
        (f"{TASKS} train inputs parameters epochs", "root.train.inputs.epochs"),
        (f"{TASKS} train inputs parameters epochs componentInputParameter", "root.train.inputs.epochs"),
        (f"{TASKS} for-loop-1 parameterIterator itemInput", "root.for-loop-1.itemInput"),
        ("0 components comp-train executorLabel", "comp-train.executorLabel"),
        ("0 components comp-train inputDefinitions parameters epochs parameterType", "comp-train.inputDefinitions"),
        ("0 components comp-train outputDefinitions artifacts model artifactType", "comp-train.outputDefinitions"),
        ("0 deploymentSpec executors exec-train container image", "exec-train.container.image"),
        ("0 deploymentSpec executors exec-train container command", "exec-train.container.command"),
        ("0 root dag outputs parameters Output", "root.outputs"),
        ("0 root dag outputs parameters Output valueFromParameter", "root.outputs.Output"),
    ],
)
def test_a_missing_field_is_refused(path, where):
    with pytest.raises(ConfigError) as caught:
        check(changed(path, DELETE))
    assert str(caught.value).startswith(where)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("0 components comp-train inputDefinitions parameters epochs parameterType", "NUMBER"),
        (f"{TASKS} train dependentTasks", "plan"),
        (f"{TASKS} train retryPolicy maxRetryCount", "often"),
        ("0 root", "x"),
    ],
)
def test_a_wrong_type_is_refused(path, value):
    with pytest.raises(ConfigError, match="expected the fields of PipelineSpec"):
        check(changed(path, value))


def test_a_null_is_an_absent_field():
    check(changed("0 components comp-for-loop-1 dag tasks prepare dependentTasks", None))


def test_tasks_that_wait_for_each_other_are_refused():
    with pytest.raises(ConfigError, match="without a cycle"):
        check(changed(f"{TASKS} plan dependentTasks", ["train"]))


@pytest.mark.parametrize("text", ["", "a: [", "a: 1\n---\nb: 1\n---\nc: 1\n", "- a\n", "just words"])
def test_what_is_no_pipeline_at_all_is_refused(text):
    with pytest.raises(ConfigError, match=r"^pipeline"):
        check(text)
