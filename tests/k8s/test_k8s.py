"""The kustomize base renders, is valid Kubernetes, and contains what the compiled pipeline needs.

The base is rendered here with the few rules that it uses, so that the tests need no kubectl; a kustomization that uses
other rules is refused. If kubectl is installed, every test also runs on its rendering, which must be equal.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

K8S = Path(__file__).parents[2] / "k8s"
BASE = K8S / "base"
OVERLAYS = sorted(path.parent for path in K8S.glob("*/**/kustomization.yaml") if path.parent != BASE)
UNDERSTOOD = {"apiVersion", "kind", "namespace", "labels", "resources", "patches"}
Manifest = dict[str, Any]


def render(base: Path) -> list[Manifest]:
    """What `kubectl kustomize` makes of files, other bases, one namespace, plain labels and replaced values."""
    kustomization = yaml.safe_load((base / "kustomization.yaml").read_text())
    if unknown := set(kustomization) - UNDERSTOOD:
        raise ValueError(f"the test's renderer does not know {sorted(unknown)}")
    rendered = []
    for name in kustomization["resources"]:
        path = base / name
        rendered += render(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    for manifest in rendered:
        metadata = manifest["metadata"]
        labels = {key: value for entry in kustomization.get("labels", []) for key, value in entry["pairs"].items()}
        if labels:
            metadata["labels"] = metadata.get("labels", {}) | labels
        if "namespace" in kustomization:
            for place in (metadata, *manifest.get("subjects", [])):
                if manifest["kind"] != "Namespace":
                    place["namespace"] = kustomization["namespace"]
    for patch in kustomization.get("patches", []):
        target = next(each for each in rendered if identity(each) == (patch["target"]["kind"], patch["target"]["name"]))
        for change in yaml.safe_load(patch["patch"]):
            *parents, last = change["path"].strip("/").split("/")
            place = target
            for parent in parents:
                place = place[parent]
            if (change["op"], isinstance(place, list), last) == ("add", True, "-"):
                place.append(change["value"])
            elif (change["op"], last in place) in {("replace", True), ("add", False)}:
                place[last] = change["value"]
            else:
                raise ValueError(f"the test's renderer does not know {change}")
    return rendered


def identity(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def render_with_kubectl(base: Path) -> list[Manifest]:
    output = subprocess.run(["kubectl", "kustomize", str(base)], check=True, capture_output=True, text=True).stdout
    return list(yaml.safe_load_all(output))


RENDERERS = [render, render_with_kubectl] if shutil.which("kubectl") else [render]


@pytest.fixture(scope="module", params=RENDERERS, ids=lambda renderer: renderer.__name__)
def renderer(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def manifests(renderer: Any) -> list[Manifest]:
    return renderer(K8S / "overlays" / "standalone")


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
    return {identity(each): each for each in manifests}


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


KUBEFLOW_LABEL = ("pipelines.kubeflow.org/v2_component", "true")  # of every pod of a run, as Kubeflow 2.17 makes them
QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
UNITS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([A-Za-z]*)", text).groups()
    return float(number) * UNITS[unit]


def containers(manifest: Manifest) -> list[Manifest]:
    spec = manifest.get("spec", {})
    spec = spec if manifest["kind"] == "Pod" else spec.get("template", {}).get("spec", {})
    return [*spec.get("initContainers", []), *spec.get("containers", [])]


def test_the_policies_select_the_pods_that_the_pipeline_and_kubeflow_label(renderer, pipeline):
    labels = [
        executor["podMetadata"]["labels"]
        for executor in pipeline[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    ]
    found = by_identity(renderer(K8S / "overlays" / "profile"))
    steps = found["NetworkPolicy", "frostline-steps"]["spec"]
    runs = found["NetworkPolicy", "frostline-runs"]["spec"]
    assert all(steps["podSelector"]["matchLabels"].items() <= each.items() for each in labels)
    assert tuple(runs["podSelector"]["matchLabels"].items()) == (KUBEFLOW_LABEL,)
    for policy in (steps, runs):
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert "ingress" not in policy  # nobody connects to a step
        assert all(rule["ports"] for rule in policy["egress"])  # a rule without ports would open all of them


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_names_grants_quantities_and_references_hold(renderer, overlay):
    found = renderer(overlay)
    names = {identity(each) for each in found}
    for manifest in found:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", manifest["metadata"]["name"])
        for rule in manifest.get("rules", []):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        if manifest["kind"] == "RoleBinding":
            assert (manifest["roleRef"]["kind"], manifest["roleRef"]["name"]) in names
            assert {(each["kind"], each["name"]) for each in manifest["subjects"]} <= names
    for text in quantities(found):
        assert QUANTITY.fullmatch(text), text


def quantities(node: Any, inside: bool = False) -> Iterator[str]:
    """Every value below `requests`, `limits`, `hard` and the defaults of a LimitRange."""
    for key, value in node.items() if isinstance(node, dict) else [("", each) for each in node]:
        if isinstance(value, dict | list):
            yield from quantities(value, key in ("requests", "limits", "hard", "default", "defaultRequest"))
        elif inside:
            yield value


def test_the_quota_admits_every_pod_and_a_run_with_the_default_parameters(renderer):
    from frostline.config import RunConfig

    found = renderer(K8S / "overlays" / "profile")
    hard, defaults, run = only(found, "ResourceQuota")["spec"]["hard"], only(found, "LimitRange")["spec"], RunConfig()
    (limits,) = defaults["limits"]  # for Argo's containers, which declare nothing
    argo = 2 * quantity(limits["default"]["memory"])
    workers = run.workers * (quantity(run.memory) + argo)
    assert 2 * max(workers, quantity(run.train_memory) + argo) <= quantity(hard["limits.memory"])
    assert 2 * run.workers * quantity(run.cpu) <= quantity(hard["requests.cpu"])


def test_only_the_job_that_changes_the_owner_is_root_and_no_pod_can_gain_privileges(renderer):
    for overlay in OVERLAYS:
        for manifest in renderer(overlay):
            for container in containers(manifest):
                context = container["securityContext"]
                assert not context["allowPrivilegeEscalation"]
                assert context["capabilities"]["drop"] == ["ALL"]
                profile = context.get("seccompProfile") or manifest["spec"]["securityContext"]["seccompProfile"]
                assert profile["type"] == "RuntimeDefault"
                assert context["readOnlyRootFilesystem"]
                as_user = context.get("runAsNonRoot") or manifest["spec"].get("securityContext", {}).get("runAsNonRoot")
                assert as_user or manifest["metadata"]["name"] == "frostline-volume-owner"
                assert {"requests", "limits"} <= set(container["resources"])


def test_a_namespace_with_users_enforces_restricted(renderer):
    namespace = only(renderer(K8S / "overlays" / "profile"), "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_guides_commands_are_configurations_that_the_pipeline_accepts():
    """Each `--set` of the guide, read as a shell and the command line read it."""
    from frostline.config import RunConfig

    guide = (K8S / "README.md").read_text()
    settings = re.findall(r"--set '([^']+)'", guide)
    assert len(settings) == 3
    values = {name: yaml.safe_load(text) for name, _, text in (each.partition("=") for each in settings)}
    config = RunConfig(**values)
    assert config.accelerator_count == "1"
    assert config.tolerations[0]["effect"] == "NoSchedule"


def test_the_guides_patch_of_the_controller_is_json_and_yaml_that_retries_steps_and_not_what_is_around_them():
    guide = (K8S / "README.md").read_text()
    (patch,) = re.findall(r"--type merge -p \\\n  '(.*)'", guide)
    strategy = yaml.safe_load(json.loads(patch)["data"]["workflowDefaults"])["spec"]["templateDefaults"][
        "retryStrategy"
    ]
    assert strategy == {"limit": "0", "retryPolicy": "Always"}
