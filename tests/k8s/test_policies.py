"""What the manifests allow and demand: traffic, names, quantities, privileges."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.kustomize import K8S, OVERLAYS, Manifest, by_identity, identity, only

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
