"""The manifests of k8s/, as `kubectl kustomize` renders them.

They are rendered here with the few rules that they use, so that the tests need no kubectl; a kustomization that uses
other rules is refused. Where kubectl is installed, its rendering is there too.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

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


def only(manifests: list[Manifest], kind: str) -> Manifest:
    (manifest,) = [each for each in manifests if each["kind"] == kind]
    return manifest


def by_identity(manifests: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    return {identity(each): each for each in manifests}
