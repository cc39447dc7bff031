"""`frostline cluster check` against a server that answers as Kubeflow, and one that answers as Kubernetes."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.remote import inspection
from pipelines.remote.cluster import Cluster
from pipelines.remote.inspection import check

IMAGE = f"registry.example/frostline@sha256:{'0' * 64}"
STOCK = "spec:\n  templateDefaults:\n    retryStrategy: {limit: '2', retryPolicy: OnError}\n"
RIGHT = {
    "/api/v1/namespaces/kubeflow/serviceaccounts/frostline": {},
    "/api/v1/namespaces/kubeflow/persistentvolumeclaims/frostline": {
        "spec": {"accessModes": ["ReadWriteMany"]},
        "status": {"phase": "Bound"},
    },
    "/api/v1/namespaces/kubeflow/secrets/mlpipeline-minio-artifact": {"data": {"accesskey": "c2VjcmV0"}},
    "/api/v1/namespaces/kubeflow/resourcequotas": {"items": []},
    "/api/v1/namespaces/kubeflow/configmaps/workflow-controller-configmap": {"data": {"workflowDefaults": STOCK}},
}
CLAIM = "/api/v1/namespaces/kubeflow/persistentvolumeclaims/frostline"
CONTROLLER = "/api/v1/namespaces/kubeflow/configmaps/workflow-controller-configmap"
QUOTA = "/api/v1/namespaces/kubeflow/resourcequotas"
RANGES = "/api/v1/namespaces/kubeflow/limitranges"


@pytest.fixture
def objects(tmp_path, monkeypatch):
    """What the Kubernetes API holds, by path; a number is the status of its refusal, an event its silence.

    The kubeconfig leads there.
    """
    held = dict(RIGHT)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer = held.get(self.path, 404)
            if isinstance(answer, threading.Event):
                answer.wait(30)
                return
            body = json.dumps({"message": "no"} if isinstance(answer, int) else answer).encode()
            self.send_response(answer if isinstance(answer, int) else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig")
    )  # which the library reads from KUBECONFIG when it is imported
    yield held
    server.shutdown()
    server.server_close()


def found(server, what, **options):
    (one,) = [each for each in check(Cluster(server.host), **options) if each.what == what]
    return one


def test_an_installation_that_is_right_has_nothing_to_mend(server, objects):
    result = CliRunner().invoke(app, ["cluster", "check", "--host", server.host, "--image", IMAGE])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 8
    assert "retryPolicy is OnError" in result.stdout
    assert "c2VjcmV0" not in result.stdout  # what is in the secret
    assert not [call for call in server.calls if not call.startswith("GET")]  # nothing is changed


def test_the_version_is_told_where_the_server_tells_it(server, objects):
    assert "as Kubeflow Pipelines, which does not tell its version, without users" in found(server, "server").words
    server.version = "2.17.0"
    assert "as Kubeflow Pipelines, version 2.17.0, without users" in found(server, "server").words


@pytest.mark.parametrize(("path", "what"), [
    ("/api/v1/namespaces/kubeflow/serviceaccounts/frostline", "service account"),
    (CLAIM, "claim"),
    ("/api/v1/namespaces/kubeflow/secrets/mlpipeline-minio-artifact", "secret"),
    (CONTROLLER, "retries"),
])  # fmt: skip
def test_what_is_missing_is_a_problem_and_what_may_not_be_seen_is_unknown(server, objects, path, what):
    objects[path] = 403
    assert found(server, what).state == "unknown"
    assert "may not look" in found(server, what).words
    del objects[path]
    assert found(server, what).state == "problem"
    ours = what in ("service account", "claim")  # the others are Kubeflow's: no overlay makes them
    assert ("run: kubectl apply -k k8s/overlays/standalone" in found(server, what).words) == ours
    assert ("Kubeflow" in found(server, what).words.partition("; ")[2]) != ours
    assert CliRunner().invoke(app, ["cluster", "check", "--host", server.host]).exit_code == 1


@pytest.mark.parametrize(("claim", "state", "words"), [
    ({"spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Bound"}}, "ok", "must share one node"),
    ({"spec": {"accessModes": ["ReadWriteMany"]}, "status": {"phase": "Pending"}}, "unknown", "is Pending"),
    ({"spec": {"accessModes": ["ReadWriteMany"]}, "status": {"phase": "Lost"}}, "problem", "is Lost"),
])  # fmt: skip
def test_a_claim_is_judged_by_its_phase_and_modes(server, objects, claim, state, words):
    objects[CLAIM] = claim
    one = found(server, "claim")
    assert (one.state, words in one.words) == (state, True)


def test_a_quota_without_defaults_for_argos_containers_is_a_problem(server, objects):
    objects[QUOTA] = {"items": [{"spec": {"hard": {"requests.cpu": "8", "pods": "4"}}}]}
    objects[RANGES] = {"items": [{"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}}]}
    assert found(server, "quota").state == "problem"
    objects[RANGES]["items"][0]["spec"]["limits"][0]["defaultRequest"] = {"cpu": "1"}
    assert found(server, "quota").state == "ok"
    objects[QUOTA] = {"items": [{"spec": {"hard": {"pods": "4"}}}]}
    assert found(server, "quota").words == "no quota on cpu or memory"


@pytest.mark.parametrize(("data", "words"), [
    ({"workflowDefaults": STOCK.replace("OnError", "Always")}, "starts every failed pod again"),
    ({"config": yaml.safe_dump({"workflowDefaults": yaml.safe_load(STOCK)})}, "retryPolicy is OnError"),
    ({}, "not set, which is OnFailure"),
    ({"workflowDefaults": ": ["}, "not set"),
])  # fmt: skip
def test_the_engines_retry_policy_is_told(server, objects, data, words):
    objects[CONTROLLER] = {"data": data}
    assert words in found(server, "retries").words


def test_a_server_that_does_not_let_us_in_is_a_problem_and_the_rest_is_still_looked_at(server, objects):
    server.token = "abc"
    one = found(server, "identity")
    assert (one.state, "--token-env" in one.words) == ("problem", True)
    assert found(server, "claim").state == "ok"


def test_a_kubernetes_that_goes_silent_is_given_up(server, objects, monkeypatch):
    monkeypatch.setattr(inspection, "_SECONDS", tuple(one / 50 for one in inspection._SECONDS))
    objects[CLAIM] = threading.Event()
    one = found(server, "claim")
    assert (one.state, "Kubernetes does not answer: " in one.words) == ("unknown", True)
    objects[CLAIM].set()


def test_without_a_kubeconfig_only_kubeflow_is_looked_at(server, objects, tmp_path):
    (tmp_path / "kubeconfig").write_text("")
    assert found(server, "kubernetes").state == "unknown"
    one = found(server, "kubernetes", context="elsewhere")
    assert "no kubeconfig can be used" in one.words


def test_an_image_without_a_registry_is_a_problem(server, objects):
    assert found(server, "image", image="frostline:0.1.0").state == "problem"
    assert found(server, "image", image="frostline:0.1.0", image_on_nodes=True).state == "ok"
