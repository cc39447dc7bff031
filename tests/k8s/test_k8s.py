"""The manifests render, are valid Kubernetes, and contain what the compiled pipeline needs.

Every test runs on each rendering, which must be equal.
"""

from __future__ import annotations

import copy
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.support.kustomize import BASE, K8S, OVERLAYS, by_identity, only, render


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_every_overlay_renders_to_valid_kubernetes_in_one_namespace(renderer, overlay):
    found = renderer(overlay)
    assert by_identity(found) == by_identity(render(overlay))
    namespaced = {each["metadata"]["namespace"] for each in found if each["kind"] != "Namespace"}
    assert len(namespaced) == 1
    assert {each["metadata"]["name"] for each in found if each["kind"] == "Namespace"} <= namespaced
    for manifest in found:
        for version in ("1.31.0", "1.34.0", kubernetes_validate.latest_version()):
            kubernetes_validate.validate(manifest, version, strict=True)


def test_the_overlays_are_those_of_the_guide():
    guide = (K8S / "README.md").read_text()
    assert [path.relative_to(K8S).as_posix() for path in OVERLAYS] == [
        "overlays/dev", "overlays/gke", "overlays/profile", "overlays/standalone", "shell", "volume-owner",
    ]  # fmt: skip
    assert all(f"k8s/{path.relative_to(K8S).as_posix()}" in guide for path in OVERLAYS)


@pytest.mark.parametrize("folder", [BASE, *OVERLAYS], ids=lambda path: path.name)
def test_every_file_is_listed(folder):
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    files = [name for name in listed if not (folder / name).is_dir()]
    assert sorted(files) == sorted(path.name for path in folder.glob("*.yaml") if path.name != "kustomization.yaml")


def test_a_kustomization_that_uses_more_is_refused(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("namespace: a\nlabels: []\nresources: []\nimages: []\n")
    with pytest.raises(ValueError, match="images"):
        render(tmp_path)


def test_the_job_that_changes_the_owner_gives_the_volume_to_the_user_of_the_image(renderer):
    (job,) = renderer(K8S / "volume-owner")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    dockerfile = (K8S.parent / "docker" / "Dockerfile").read_text()
    assert f"USER {container['command'][1]}\n" in dockerfile
    (volume,) = job["spec"]["template"]["spec"]["volumes"]
    claim = only(renderer(BASE.parent / "overlays" / "standalone"), "PersistentVolumeClaim")
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_the_validation_would_notice_a_misspelt_field(manifests):
    broken = copy.deepcopy(only(manifests, "PersistentVolumeClaim"))
    broken["spec"]["accessMode"] = broken["spec"].pop("accessModes")
    with pytest.raises(kubernetes_validate.ValidationError, match="accessMode"):
        kubernetes_validate.validate(broken, kubernetes_validate.latest_version(), strict=True)


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
    from pipelines.remote.cluster import Cluster

    account, binding = only(manifests, "ServiceAccount"), only(manifests, "RoleBinding")
    assert account["metadata"]["name"] == Cluster("http://host").service_account
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
