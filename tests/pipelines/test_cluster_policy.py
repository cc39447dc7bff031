"""What strict clusters demand of every pod of a run, in the compiled YAML; each rule is seen to be noticed."""

import copy
import re

import pytest

from pipelines.compile import SHIPPED
from pipelines.lint import load

SPEC, PLATFORM = load(SHIPPED.read_text())
PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['pipelinechannel--(\w+)'\]\}\}")
RESOURCES = ("resourceCpuRequest", "resourceCpuLimit", "resourceMemoryRequest", "resourceMemoryLimit")


def violations(spec, platform):
    """One line for each rule that a step breaks."""
    kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    deadline = int(platform["platforms"]["kubernetes"]["pipelineConfig"]["activeDeadlineSeconds"])
    found = []
    for name, executor in spec["deploymentSpec"]["executors"].items():
        container, pod = executor["container"], kubernetes.get(name, {})
        step, resources = name.removeprefix("exec-"), container.get("resources", {})
        mounts = {mount["mountPath"] for mount in pod.get("emptyDirMounts", [])}
        labels = pod.get("podMetadata", {}).get("labels", {})
        rules = {
            "requests and limits": all(real(spec, resources.get(field, "")) for field in RESOURCES),
            "as much requested as allowed": resources.get(RESOURCES[2]) == resources.get(RESOURCES[3]),
            "a time-out within the deadline": 0 < int(pod.get("activeDeadlineSeconds", 0)) < deadline,
            "not root": pod.get("securityContext") == {"runAsNonRoot": True},
            "an image that is chosen": PARAMETER.fullmatch(container["image"]) and not default(spec, "image"),
            "nothing installed": not re.search(r"\bpip\b|apt|curl|wget", " ".join(container["command"])),
            "no environment": not container.get("env"),
            "a writable /tmp": "/tmp" in mounts,
            "labels": labels == {"app.kubernetes.io/name": "frostline", "app.kubernetes.io/component": step},
        }
        found += [f"{step}: {rule}" for rule, kept in rules.items() if not kept]
    return found


def real(spec, text):
    """Whether a resource is a parameter of type text with a default: the server drops numbers silently."""
    match = PARAMETER.fullmatch(text)
    if not match:
        return False
    parameter = spec["root"]["inputDefinitions"]["parameters"][match[1]]
    return parameter["parameterType"] == "STRING" and bool(default(spec, match[1]))


def default(spec, name):
    return spec["root"]["inputDefinitions"]["parameters"][name].get("defaultValue")


def test_every_step_keeps_every_rule():
    assert violations(SPEC, PLATFORM) == []


def executor(spec, platform):
    return spec["deploymentSpec"]["executors"]["exec-train"]["container"]


def pod(spec, platform):
    return platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]


def parameter(spec, platform):
    return spec["root"]["inputDefinitions"]["parameters"]


@pytest.mark.parametrize(("where", "change", "rule"), [
    (executor, lambda it: it["resources"].pop("resourceMemoryLimit"), "requests and limits"),
    (executor, lambda it: it["resources"].update(resourceCpuLimit="2"), "requests and limits"),
    (parameter, lambda it: it["train_cpu"].update(parameterType="NUMBER_INTEGER"), "requests and limits"),
    (parameter, lambda it: it["train_memory"].update(defaultValue=""), "requests and limits"),
    (executor, lambda it: it.update(image="frostline:latest"), "an image that is chosen"),
    (executor, lambda it: it["command"].insert(2, "python3 -m pip install kfp"), "nothing installed"),
    (executor, lambda it: it.update(env=[{"name": "TOKEN", "value": "x"}]), "no environment"),
    (pod, lambda it: it.pop("activeDeadlineSeconds"), "a time-out within the deadline"),
    (pod, lambda it: it.pop("securityContext"), "not root"),
    (pod, lambda it: it.update(emptyDirMounts=[]), "a writable /tmp"),
    (pod, lambda it: it.pop("podMetadata"), "labels"),
])  # fmt: skip
def test_a_broken_rule_is_noticed(where, change, rule):
    spec, platform = copy.deepcopy(SPEC), copy.deepcopy(PLATFORM)
    change(where(spec, platform))
    assert f"train: {rule}" in violations(spec, platform)


def test_there_are_no_secrets_in_the_yaml():
    """The name of one is there, which holds the key that signs versions."""
    text = re.sub(r"^ *secretName: frostline-signing-key$", "", SHIPPED.read_text(), flags=re.MULTILINE)
    text = re.sub(r"secretAsVolume:|secretNameParameter:", "", text)
    assert not re.search(r"secret|password|token|BEGIN [A-Z ]*KEY", text, re.IGNORECASE)


def test_release_alone_gets_the_private_key_and_what_loads_or_promotes_versions_the_public_one():
    pods = PLATFORM["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    private = {name: one["secretAsVolume"] for name, one in pods.items() if "secretAsVolume" in one}
    public = {name: one["configMapAsVolume"] for name, one in pods.items() if "configMapAsVolume" in one}
    assert list(private) == ["exec-release"]
    ((secret,),) = private.values()
    assert (secret["secretName"], secret["mountPath"]) == ("frostline-signing-key", "/frostline-keys/private")
    assert secret["optional"] is True
    assert sorted(public) == ["exec-evaluate", "exec-plan", "exec-release"]
    for (mounted,) in public.values():
        assert (mounted["configMapName"], mounted["mountPath"]) == ("frostline-public-key", "/frostline-keys/public")
        assert mounted["optional"] is True
