"""The commands of k8s/README.md hold."""

from __future__ import annotations

import json
import re
import shlex
import subprocess

import yaml

from frostline.registry import keys
from pipelines.finetune import KEYS_PATH, PRIVATE_KEY, PUBLIC_KEY

from tests.support.kustomize import K8S


def test_the_guides_commands_are_configurations_that_the_pipeline_accepts():
    """Each `--set` of the guide, read as a shell and the command line read it."""
    from frostline.config import RunConfig

    guide = (K8S / "README.md").read_text()
    settings = re.findall(r"--set '([^']+)'", guide)
    assert len(settings) == 4
    values = {name: yaml.safe_load(text) for name, _, text in (each.partition("=") for each in settings)}
    config = RunConfig(**values)
    assert config.accelerator_count == "1"
    assert config.tolerations[0]["effect"] == "NoSchedule"
    assert config.signing.key.startswith(f"{KEYS_PATH}/private/")
    assert config.signing.public_key.startswith(f"{KEYS_PATH}/public/")


def test_the_guide_makes_the_secret_and_the_config_map_that_the_pipeline_mounts_with_files_of_their_names():
    guide = (K8S / "README.md").read_text()
    made = dict(re.findall(r"create (?:secret generic|configmap) (\S+) --from-file=(\S+)", guide))
    assert made == {PRIVATE_KEY: "key.pem", PUBLIC_KEY: "key.pub"}
    assert f"{KEYS_PATH}/private/key.pem, public_key: {KEYS_PATH}/public/key.pub" in guide


def test_the_guides_keys_are_ones_that_sign(tmp_path):
    """The commands of openssl, as they are."""
    commands = re.findall(r"^openssl .*$", (K8S / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        subprocess.run(shlex.split(command), cwd=tmp_path, capture_output=True, timeout=60, check=True)
    keys.require_pair(str(tmp_path / "key.pem"), str(tmp_path / "key.pub"))


def test_the_guides_patch_of_the_controller_is_json_and_yaml_that_retries_steps_and_not_what_is_around_them():
    guide = (K8S / "README.md").read_text()
    (patch,) = re.findall(r"--type merge -p \\\n  '(.*)'", guide)
    strategy = yaml.safe_load(json.loads(patch)["data"]["workflowDefaults"])["spec"]["templateDefaults"][
        "retryStrategy"
    ]
    assert strategy == {"limit": "0", "retryPolicy": "Always"}
