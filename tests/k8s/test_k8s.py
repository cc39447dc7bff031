"""The kustomize base renders, is valid Kubernetes, and contains what the compiled pipeline needs.

The base is rendered here with the few rules that it uses, so that the tests need no kubectl; a kustomization that uses
other rules is refused. If kubectl is installed, every test also runs on its rendering, which must be equal.
"""

from __future__ import annotations

import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

BASE = Path(__file__).parents[2] / "k8s" / "base"
UNDERSTOOD = {"apiVersion", "kind", "namespace", "labels", "resources"}
Manifest = dict[str, Any]


def render(base: Path) -> list[Manifest]:
    """What `kubectl kustomize` makes of a base that has resources, one namespace and plain labels."""
    kustomization = yaml.safe_load((base / "kustomization.yaml").read_text())
    if unknown := set(kustomization) - UNDERSTOOD:
        raise ValueError(f"the test's renderer does not know {sorted(unknown)}")
    namespace = kustomization["namespace"]
    labels = {key: value for entry in kustomization["labels"] for key, value in entry["pairs"].items()}
    rendered = []
    for name in kustomization["resources"]:
        for manifest in yaml.safe_load_all((base / name).read_text()):
            metadata = manifest["metadata"]
            metadata["labels"] = metadata.get("labels", {}) | labels
            if manifest["kind"] == "Namespace":
                metadata["name"] = namespace
            else:
                metadata["namespace"] = namespace
            for subject in manifest.get("subjects", []):
                subject["namespace"] = namespace
            rendered.append(manifest)
    return rendered


def render_with_kubectl(base: Path) -> list[Manifest]:
    output = subprocess.run(["kubectl", "kustomize", str(base)], check=True, capture_output=True, text=True).stdout
    return list(yaml.safe_load_all(output))


RENDERERS = [render, render_with_kubectl] if shutil.which("kubectl") else [render]


@pytest.fixture(scope="module", params=RENDERERS, ids=lambda renderer: renderer.__name__)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return request.param(BASE)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Manifest]:
    """The compiled pipeline: its specification and its Kubernetes part."""
    from kfp import compiler

    from pipelines.finetune import finetune

    path = tmp_path_factory.mktemp("compiled") / "finetune.yaml"
    compiler.Compiler().compile(finetune, str(path))
    specification, platform = yaml.safe_load_all(path.read_text())
    return specification, platform


def only(manifests: list[Manifest], kind: str) -> Manifest:
    (manifest,) = [each for each in manifests if each["kind"] == kind]
    return manifest


def by_identity(manifests: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    return {(each["kind"], each["metadata"]["name"]): each for each in manifests}


def test_both_renderings_are_the_same(manifests):
    assert by_identity(manifests) == by_identity(render(BASE))


def test_every_file_of_the_base_is_listed():
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(path.name for path in BASE.glob("*.yaml") if path.name != "kustomization.yaml")


def test_a_kustomization_that_uses_more_is_refused(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("namespace: a\nlabels: []\nresources: []\npatches: []\n")
    with pytest.raises(ValueError, match="patches"):
        render(tmp_path)


def test_every_manifest_is_valid_kubernetes(manifests):
    for manifest in manifests:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_the_validation_would_notice_a_misspelt_field(manifests):
    broken = copy.deepcopy(only(manifests, "PersistentVolumeClaim"))
    broken["spec"]["accessMode"] = broken["spec"].pop("accessModes")
    with pytest.raises(kubernetes_validate.ValidationError, match="accessMode"):
        kubernetes_validate.validate(broken, kubernetes_validate.latest_version(), strict=True)


def test_everything_lies_in_the_namespace_that_the_base_makes(manifests):
    namespace = only(manifests, "Namespace")["metadata"]["name"]
    rest = [each["metadata"]["namespace"] for each in manifests if each["kind"] != "Namespace"]
    assert rest and set(rest) == {namespace}


def test_every_task_mounts_the_claim_that_the_base_makes(manifests, pipeline):
    claim = only(manifests, "PersistentVolumeClaim")
    specification, platform = pipeline
    tasks = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(tasks) == set(specification["deploymentSpec"]["executors"])
    for task in tasks.values():
        (mount,) = task["pvcMount"]
        assert mount["constant"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]  # tasks of one run are on several nodes at once


def test_store_and_registry_are_on_the_volume_by_default(pipeline):
    specification, platform = pipeline
    tasks = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    (path,) = {mount["mountPath"] for task in tasks.values() for mount in task["pvcMount"]}
    parameters = specification["root"]["inputDefinitions"]["parameters"]
    for name in ("store", "registry"):
        assert Path(parameters[name]["defaultValue"]).is_relative_to(path)


def test_the_service_account_has_its_token_and_its_role(manifests):
    from pipelines.submit import SERVICE_ACCOUNT

    account, binding = only(manifests, "ServiceAccount"), only(manifests, "RoleBinding")
    assert account["metadata"]["name"] == SERVICE_ACCOUNT
    (subject,) = binding["subjects"]
    assert account["automountServiceAccountToken"] is True  # KFP's launcher calls the API server from the step's pod
    assert subject == {
        "kind": "ServiceAccount",
        "name": account["metadata"]["name"],
        "namespace": account["metadata"]["namespace"],
    }
    assert binding["roleRef"]["kind"] == "Role"
    assert binding["roleRef"]["name"] == only(manifests, "Role")["metadata"]["name"]


def test_the_role_reports_results_and_reads_single_named_objects(manifests):
    granted = {
        (group, resource, verb, *rule.get("resourceNames", []))
        for rule in only(manifests, "Role")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {
        ("argoproj.io", "workflowtaskresults", "create"),
        ("argoproj.io", "workflowtaskresults", "patch"),
        ("", "pods", "get"),
        ("", "configmaps", "get", "kfp-launcher"),
        ("", "secrets", "get", "mlpipeline-minio-artifact"),
    }


def test_privileged_pods_are_refused_and_unrestricted_ones_reported(manifests):
    labels = only(manifests, "Namespace")["metadata"]["labels"]
    levels = {mode: labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")}
    assert levels == {"enforce": "baseline", "audit": "restricted", "warn": "restricted"}
