"""Each renderer of the manifests, and the compiled pipeline."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.support.kustomize import K8S, RENDERERS, Manifest


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
