"""A real Kubeflow: KFP_HOST and the current kubeconfig name it, FROSTLINE_IMAGE is what its nodes run.

Optional: KFP_NAMESPACE, that of a profile on a multi-user installation; KFP_OPTIONS, more options of the command line,
such as `--token-env TOKEN`. Everything that is made is removed at the end: objects of Kubernetes, runs with their
experiment and schedule, and the pipeline if it was not there before. An installation that has a claim `frostline`
already is refused: it holds somebody's models.
"""

import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipelines.remote.cluster import Cluster, connected
from pipelines.remote.submit import PIPELINE, pages

ROOT = Path(__file__).parents[2]
NAME = "frostline-accept"
EXPERIMENT = ("--experiment", NAME)
DIGITS = str(ROOT / "pipelines" / "configs" / "digits-base.yaml")
PATIENCE = 900  # seconds that a step may take to begin, on a small cluster


class Installation:
    """The cluster under test, through the tools that a person has: kubectl and `frostline`."""

    def __init__(self, environment, scratch):
        self.host, self.image = environment["KFP_HOST"], environment["FROSTLINE_IMAGE"]
        self.profile = environment.get("KFP_NAMESPACE", "")
        self.namespace = self.profile or "kubeflow"
        self.options = ["--host", self.host, *shlex.split(environment.get("KFP_OPTIONS", ""))]
        if self.profile:
            self.options += ["--namespace", self.profile]
        self.scratch = scratch
        given = dict(zip(self.options[::2], self.options[1::2], strict=True))
        names = {name: given[option] for name in ("token_env", "cookies_env", "ca_file")
                 if (option := f"--{name.replace('_', '-')}") in given}  # fmt: skip
        self.cluster = Cluster(self.host, self.profile, **names)
        with connected(self.cluster) as (client, _):
            self._before = [one.pipeline_id for one in self._pipelines(client)]

    def kubectl(self, *arguments, data=None, check=True):
        command = ["kubectl", "-n", self.namespace, *arguments]
        done = subprocess.run(command, input=data, capture_output=True, text=True, timeout=300, check=False)
        assert not check or done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
        return done

    def get(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)

    def frostline(self, *arguments, check=True, timeout=3600):
        command = [str(Path(sys.executable).with_name("frostline")), *arguments, *self.options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        assert not check or done.returncode == 0, f"{shlex.join(command)}: {done.stdout}{done.stderr}"
        return done

    def submit(self, name, *settings, options=(), check=True, image=""):
        chosen = [f"model_name={name}", f"image={image or self.image}", f"store=/frostline/{name}/store", *settings]
        given = [part for setting in chosen for part in ("--set", setting)]
        return self.frostline("submit", DIGITS, *given, *EXPERIMENT, "--image-on-nodes", *options, check=check)

    def _pipelines(self, client):
        found = pages(client.list_pipelines, "pipelines", self.profile)
        return [one for one in found if one.display_name == PIPELINE]

    def forget(self):
        """Remove what Kubeflow still has of all this: runs, their experiment, and a pipeline that was not there."""
        with connected(self.cluster) as (client, _):
            experiments = list(pages(client.list_experiments, "experiments", self.profile))
            mine = [one.experiment_id for one in experiments if one.display_name == NAME]
            for run in list(pages(client.list_runs, "runs", self.profile)):
                if run.experiment_id in mine:
                    client.delete_run(run.run_id)
            for one in mine:
                client.delete_experiment(one)
            for pipeline in [one.pipeline_id for one in self._pipelines(client) if one.pipeline_id not in self._before]:
                for version in client.list_pipeline_versions(pipeline, page_size=100).pipeline_versions or []:
                    client.delete_pipeline_version(pipeline, version.pipeline_version_id)
                client.delete_pipeline(pipeline)

    @contextlib.contextmanager
    def admitting_root(self):
        """The Job that gives the volume to somebody runs as root, which `restricted` refuses: for a while, do not."""
        level = "pod-security.kubernetes.io/enforce"
        label = ["label", "--overwrite", "namespace", self.namespace]
        if self.profile:
            self.kubectl(*label, f"{level}=baseline")
        try:
            yield
        finally:
            if self.profile:
                self.kubectl(*label, f"{level}=restricted")

    def kustomization(self, folder):
        """Render a folder of k8s/ for this namespace, with this image."""
        place = self.scratch / folder.replace("/", "-")
        place.mkdir(exist_ok=True)
        relative = os.path.relpath(ROOT / "k8s" / folder, place)
        (place / "kustomization.yaml").write_text(
            yaml.safe_dump({"namespace": self.namespace, "resources": [relative]})
        )
        text = self.kubectl("kustomize", str(place)).stdout
        return text.replace("REGISTRY/frostline:0.1.0", self.image)

    def apply(self, folder):
        self.kubectl("apply", "-f", "-", data=self.kustomization(folder))

    def remove(self, folder):
        manifests = [one for one in yaml.safe_load_all(self.kustomization(folder)) if one["kind"] != "Namespace"]
        self.kubectl("delete", "--ignore-not-found", "--wait", "-f", "-", data=yaml.safe_dump_all(manifests))

    def pod_of(self, step, run=""):
        """The running pod of a step, once there is one."""
        labels = [f"app.kubernetes.io/component={step}", *([f"pipeline/runid={run}"] if run else [])]
        return self.wait(lambda: self._running(",".join(labels)), f"a running pod of {step}")

    def _running(self, selector):
        pods = self.get("pods", "-l", selector, "--field-selector", "status.phase=Running")["items"]
        return pods[0]["metadata"]["name"] if pods else ""

    def wait(self, look, what, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(2)
        raise AssertionError(f"no {what} after {seconds} s")

    def log(self, step, run):
        """What the pods of a step printed, as far as they are still there."""
        selector = f"app.kubernetes.io/component={step},pipeline/runid={run}"
        return self.kubectl("logs", "-l", selector, "-c", "main", "--tail=-1", check=False).stdout

    def inside(self, *command):
        """Run a command in the pod of k8s/shell, which mounts the volume."""
        return self.kubectl("exec", "frostline-shell", "--", *command).stdout


def run_of(done):
    """The identifier of the run that a submit started."""
    return (done.stdout + done.stderr).partition("/runs/details/")[2].split()[0]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    missing = [name for name in ("KFP_HOST", "FROSTLINE_IMAGE") if not os.environ.get(name)]
    assert not missing, f"make accept needs {' and '.join(missing)}; see tests/acceptance/conftest.py"
    made = Installation(os.environ, tmp_path_factory.mktemp("kustomizations"))
    overlay = "overlays/profile" if made.profile else "overlays/dev"
    there = made.kubectl("get", "pvc", "frostline", check=False)
    assert there.returncode != 0, f"{made.namespace} has a claim frostline already: it holds somebody's models"
    try:
        made.apply(overlay)
        made.apply("shell")
        made.kubectl("wait", "--for=condition=Ready", "pod/frostline-shell", f"--timeout={PATIENCE}s")
        yield made
    finally:
        with contextlib.suppress(AssertionError):
            made.frostline("schedules", "delete", NAME, check=False)
        made.forget()
        made.remove("shell")
        made.remove("volume-owner")
        made.remove(overlay)
