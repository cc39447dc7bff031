"""Answers of a real Kubeflow Pipelines 2.17.0 (Argo 4.0.5, Kubernetes 1.34), shortened to what a client reads.

Its pipeline had more steps than ours has now: a loop with `preprocess` and `featurize`, and a condition around `push`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "recordings"
ANSWERS: dict[str, Any] = json.loads((_FOLDER / "answers.json").read_text())
RUNS = ("run-succeeded", "run-retried", "run-terminated", "run-failed-no-serviceaccount")


def run(name: str) -> dict[str, Any]:
    """The body that `GET runs/ID` answered."""
    body: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text())
    return body
