"""The commands of k8s/README.md hold."""

from __future__ import annotations

import json
import re

import yaml

from tests.support.kustomize import K8S


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
