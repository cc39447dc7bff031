"""`frostline cluster check`: what a first run needs, looked at before it, as far as the identity may see each thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from frostline.errors import FrostlineError
from frostline.text import one_line
from pipelines.finetune import VOLUME_CLAIM
from pipelines.remote.cluster import Cluster, connected
from pipelines.remote.submit import check_image

KUBEFLOW = "kubeflow"  # the namespace of Kubeflow Pipelines itself
_SECRET = "mlpipeline-minio-artifact"  # noqa: S105  (a name)
_NOT_FOUND = 404
_OF_KUBEFLOW = {  # what to do where something is missing that no overlay makes
    "secret": "Kubeflow makes it with the namespace of a profile, or with itself; artifacts in a bucket need none",
    "retries": "it comes with Kubeflow; look in which namespace that is",
}
_SECONDS = (5.0, 10.0)  # to connect and for an answer; the client ignores a single float


@dataclass(frozen=True)
class Finding:
    """What was found about one thing.

    Attributes:
        what: the thing.
        state: whether it is right; `unknown` if this identity may not see it.
        words: what was found, and what to do.
    """

    what: str
    state: Literal["ok", "problem", "unknown"]
    words: str

    def __str__(self) -> str:
        return f"{self.state:<8} {self.what:<16} {self.words}"


def check(cluster: Cluster, *, image: str = "", image_on_nodes: bool = False, context: str = "") -> list[Finding]:
    """Look at the server, the identity, the namespace and what a run needs in it. Nothing is changed.

    Args:
        cluster: the installation.
        image: of the steps; not looked at if empty.
        image_on_nodes: the nodes have the image already.
        context: of the kubeconfig; empty for the current one.
    """
    found: list[Finding] = []
    used = _server(cluster, found)
    found += _objects(used, context)
    return [*found, _image(image, image_on_nodes)] if image else found


def _server(given: Cluster, found: list[Finding]) -> Cluster:
    """Add what is found to the list; the installation with the namespace that is used there."""
    what, cluster = "server", given
    try:
        with connected(given) as (client, cluster):
            mode = f"multi-user, namespace {cluster.namespace}" if cluster.namespace else "without users"
            version = client.get_kfp_healthz().version
            told = f"version {version}" if version != "unknown" else "which does not tell its version"
            found.append(Finding(what, "ok", f"{cluster.base} answers as Kubeflow Pipelines, {told}, {mode}"))
            what = "identity"
            client.list_experiments(page_size=1, namespace=cluster.namespace or None)
            client.list_recurring_runs(page_size=1, namespace=cluster.namespace or None)
            found.append(Finding(what, "ok", "may list experiments and schedules"))
    except FrostlineError as error:
        found.append(Finding(what, "problem", str(error)))
    return cluster


def _image(image: str, image_on_nodes: bool) -> Finding:
    try:
        check_image(image, image_on_nodes)
    except FrostlineError as error:
        return Finding("image", "problem", str(error))
    return Finding("image", "ok", f"{image} names a registry; that a node can pull it shows in the first step")


def _objects(cluster: Cluster, context: str) -> list[Finding]:
    """What kubectl would show of the namespace in which the run's pods are."""
    from kubernetes import client, config

    try:
        settings = client.Configuration()
        settings.retries = 0
        config.load_kube_config(context=context or None, client_configuration=settings)
        api = client.CoreV1Api(client.ApiClient(settings))
    except (config.ConfigException, OSError) as error:
        words = f"no kubeconfig can be used ({one_line(error, 100)}); what is in the namespace was not looked at"
        return [Finding("kubernetes", "unknown", words)]
    namespace, account = cluster.namespace or KUBEFLOW, cluster.service_account
    overlay = f"kubectl apply -k k8s/overlays/{'profile' if cluster.namespace else 'standalone'}"
    controller = "workflow-controller-configmap"
    looks: list[tuple[str, str, Callable[[], Finding]]] = [
        (
            "service account",
            f"service account {account} in {namespace}",
            lambda: _present(api.read_namespaced_service_account, "service account", account, namespace),
        ),
        (
            "claim",
            f"claim {VOLUME_CLAIM} in {namespace}",
            lambda: _claim(
                api.read_namespaced_persistent_volume_claim(VOLUME_CLAIM, namespace, _request_timeout=_SECONDS)
            ),
        ),
        (
            "secret",
            f"secret {_SECRET} in {namespace}, the key of Kubeflow's object store",
            lambda: _present(api.read_namespaced_secret, "secret", _SECRET, namespace),
        ),
        ("quota", f"quota in {namespace}", lambda: _quota(api, namespace)),
        (
            "retries",
            f"{controller} in {KUBEFLOW}",
            lambda: _retries(api.read_namespaced_config_map(controller, KUBEFLOW, _request_timeout=_SECONDS)),
        ),
    ]
    return [_look(what, subject, look, _OF_KUBEFLOW.get(what, f"run: {overlay}")) for what, subject, look in looks]


def _look(what: str, subject: str, look: Callable[[], Finding], mend: str) -> Finding:
    import urllib3
    from kubernetes import client

    try:
        return look()
    except client.ApiException as error:
        if error.status == _NOT_FOUND:
            return Finding(what, "problem", f"there is no {subject}; {mend}")
        return Finding(what, "unknown", f"this identity may not look at the {subject} (HTTP {error.status})")
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return Finding(what, "unknown", f"Kubernetes does not answer: {one_line(error, 100)}")


def _present(get: Callable[..., Any], what: str, name: str, namespace: str) -> Finding:
    get(name, namespace, _request_timeout=_SECONDS)
    return Finding(what, "ok", f"{name} is in {namespace}")


def _claim(claim: Any) -> Finding:
    phase, modes = claim.status.phase, claim.spec.access_modes or []
    if phase == "Bound":
        alone = "" if "ReadWriteMany" in modes else f" as {', '.join(modes)}: the pods of a run must share one node"
        return Finding("claim", "ok", f"is Bound{alone}")
    if phase == "Pending":
        return Finding(
            "claim", "unknown", "is Pending: right if its class binds with the first pod; see kubectl describe"
        )
    return Finding("claim", "problem", f"is {phase}; see kubectl describe")


def _quota(api: Any, namespace: str) -> Finding:
    """A quota refuses a pod in which a container declares nothing, as Argo's do, unless a LimitRange has defaults."""
    quotas = api.list_namespaced_resource_quota(namespace, _request_timeout=_SECONDS).items
    limited = {name for quota in quotas for name in quota.spec.hard or {} if name.split(".")[-1] in ("cpu", "memory")}
    if not limited:
        return Finding("quota", "ok", "no quota on cpu or memory")
    ranges = api.list_namespaced_limit_range(namespace, _request_timeout=_SECONDS).items
    if any(limit.default and limit.default_request for one in ranges for limit in one.spec.limits):
        return Finding("quota", "ok", f"a quota on {', '.join(sorted(limited))}, and a LimitRange with defaults")
    words = f"a quota on {', '.join(sorted(limited))} and no LimitRange with defaults: Argo's containers are refused"
    return Finding("quota", "problem", f"{words}; see k8s/overlays/profile/limitrange.yaml")


def _retries(controller: Any) -> Finding:
    data = controller.data or {}
    try:
        defaults = yaml.safe_load(data.get("workflowDefaults", "")) or (
            yaml.safe_load(data.get("config", "")) or {}
        ).get("workflowDefaults", {})
        policy = defaults["spec"]["templateDefaults"]["retryStrategy"]["retryPolicy"]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        policy = "not set, which is OnFailure"
    if policy == "Always":
        return Finding("retries", "ok", "the engine starts every failed pod again")
    words = f"retryPolicy is {policy}: for what it leaves out, submit with --retries; see k8s/README.md"
    return Finding("retries", "ok", words)
