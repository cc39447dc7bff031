"""`make accept`: what a release has to do on a real Kubeflow, in the order of the file. It takes about an hour."""

import subprocess
import time

import pytest
import yaml

from tests.acceptance.conftest import DIGITS, EXPERIMENT, NAME, ROOT, run_of

SLOW = ("epochs=400", "training={checkpoint_seconds: 5}")  # about a minute of training, to be disturbed
KILL = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    words = open(f"/proc/{pid}/cmdline").read().split("\\0")
    if "frostline.attempts" in words and "train" in words:
        os.kill(int(pid), signal.SIGKILL)
"""


def test_the_check_before_the_first_run_finds_nothing_to_mend(cluster):
    found = cluster.frostline("cluster", "check", "--image", cluster.image, "--image-on-nodes")
    assert "problem" not in found.stdout


def test_digits_run_through_every_step_to_an_outcome(cluster):
    done = cluster.submit("accept-digits", options=["--wait"])
    told = done.stdout + done.stderr
    for step in ("plan", "ingest", "prepare", "validate", "train", "evaluate", "gate", "release"):
        assert f"{step:<9} done in " in told
    assert "pushed: accept-digits version 1 is the champion" in cluster.log("release", run_of(done))
    listed = cluster.inside("frostline", "registry", "list", "/frostline/registry", "accept-digits")
    assert "champion" in listed


@pytest.mark.parametrize(("setting", "outcome"), [
    ("gate={min_accuracy: 1.0, confidence: 0.999}", "held: "),
    ("gate={min_accuracy: 0.5, approval: required}", "candidate: "),
])  # fmt: skip
def test_the_gates_word_is_the_outcome(cluster, setting, outcome):
    done = cluster.submit(f"accept-{outcome.strip(': ')}", setting, options=["--wait"])
    assert outcome in cluster.log("release", run_of(done))


def test_a_deleted_pod_of_train_goes_on_from_its_checkpoint(cluster):
    run = run_of(cluster.submit("accept-deleted", *SLOW, options=["--no-wait"]))
    pod = cluster.pod_of("train", run)
    cluster.wait(lambda: "epoch 4" in cluster.log("train", run), "training that is under way")
    cluster.kubectl("delete", "pod", pod, "--wait=false")
    again = cluster.wait(lambda: (new := cluster.pod_of("train", run)) != pod and new, "second pod of train")
    cluster.frostline("resume", run, "--wait")
    assert "resuming from the checkpoint at step" in cluster.kubectl("logs", again, "-c", "main").stdout


def test_a_killed_process_goes_on_in_its_pod(cluster):
    run = run_of(cluster.submit("accept-killed", *SLOW, options=["--no-wait"]))
    pod = cluster.pod_of("train", run)
    cluster.wait(lambda: "epoch 4" in cluster.log("train", run), "training that is under way")
    cluster.kubectl("exec", pod, "-c", "main", "--", "python3", "-c", KILL)
    cluster.frostline("resume", run, "--wait")
    log = cluster.kubectl("logs", pod, "-c", "main").stdout
    assert "train was killed by SIGKILL" in log
    assert "resuming from the checkpoint at step" in log


def test_a_missing_image_ends_within_its_bound(cluster):
    began = time.monotonic()
    missing = f"{cluster.image.partition('@')[0].rpartition(':')[0] or cluster.image}:not-there"
    done = cluster.submit("accept-image", image=missing, options=["--wait", "--wait-for-node", "90"], check=False)
    assert done.returncode == 1
    assert "had no node or image after 90 s" in done.stderr
    assert time.monotonic() - began < 400


def test_a_schedule_is_made_replaced_fired_paused_and_deleted(cluster):
    settings = [
        "--set",
        "model_name=accept-nightly",
        "--set",
        f"image={cluster.image}",
        *EXPERIMENT,
        "--image-on-nodes",
    ]
    for cron in ("0 3 1 1 *", "* * * * *"):
        cluster.frostline("schedule", DIGITS, "--cron", cron, "--name", NAME, *settings)
    status = cluster.wait(lambda: "/runs/details/" in (found := schedule(cluster, "status")) and found, "scheduled run")
    assert "'0 * * * * *'" in status
    assert "0 3 1 1" not in status
    assert schedule(cluster, "pause") == f"{NAME} is paused\n"
    run = status.partition("/runs/details/")[2].split()[0]
    assert "delete it once" in cluster.frostline("schedules", "delete", NAME, check=False).stderr
    cluster.frostline("resume", run, "--wait")
    assert schedule(cluster, "delete") == f"{NAME} is deleted\n"


def schedule(cluster, action):
    return cluster.frostline("schedules", action, NAME).stdout


def test_the_pods_of_a_run_are_admitted_where_restricted_is_enforced_under_a_quota(cluster):
    """Those of the runs before, in a namespace of its own that the overlay for users describes."""
    pods = cluster.get("pods", "-l", "pipelines.kubeflow.org/v2_component=true")["items"]
    assert pods
    folder = ROOT / "k8s" / "overlays" / "profile"
    subprocess.run(["kubectl", "create", "namespace", NAME], check=True)
    try:
        for file in ("limitrange.yaml", "resourcequota.yaml"):
            subprocess.run(["kubectl", "-n", NAME, "apply", "-f", str(folder / file)], check=True)
        level = "pod-security.kubernetes.io/enforce=restricted"
        subprocess.run(["kubectl", "label", "namespace", NAME, level], check=True)
        subprocess.run(["kubectl", "-n", NAME, "create", "serviceaccount", "frostline"], check=True)
        for pod in pods:
            pod["spec"].pop("nodeName", None)
            pod["spec"]["volumes"] = [one for one in pod["spec"]["volumes"] if not one["name"].startswith("kube-api")]
            for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
                mounts = container.get("volumeMounts", [])
                container["volumeMounts"] = [one for one in mounts if not one["name"].startswith("kube-api")]
            name = pod["metadata"]["name"]
            bare = {**pod, "metadata": {"name": name, "labels": pod["metadata"]["labels"]}, "status": {}}
            command = ["kubectl", "-n", NAME, "create", "--dry-run=server", "-f", "-"]
            done = subprocess.run(command, input=yaml.safe_dump(bare), capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{name}: {done.stderr}"
    finally:
        subprocess.run(["kubectl", "delete", "namespace", NAME, "--wait"], check=True)


def test_a_volume_of_root_is_told_mended_by_the_job_and_the_run_resumed(cluster):
    owner = cluster.kustomization("volume-owner")
    give = owner.replace("10001:10001", "0:0").replace("frostline-volume-owner", "frostline-volume-root")
    with cluster.admitting_root():
        cluster.kubectl("apply", "-f", "-", data=give)
        cluster.kubectl("wait", "--for=condition=Complete", "job/frostline-volume-root", "--timeout=300s")
        cluster.kubectl("delete", "job", "frostline-volume-root")
    done = cluster.submit("accept-root", options=["--wait"], check=False)
    run = run_of(done)
    assert done.returncode == 1
    assert "Permission denied for user 10001" in " ".join(cluster.log("ingest", run).split())
    with cluster.admitting_root():
        cluster.apply("volume-owner")
        cluster.kubectl("wait", "--for=condition=Complete", "job/frostline-volume-owner", "--timeout=300s")
    cluster.frostline("resume", run, "--wait")
