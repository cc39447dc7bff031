"""The release stage: publish the model if the gate promoted it, else hold it, and tell the outcome of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypedDict

from frostline.artifacts import write_file
from frostline.config import checked
from frostline.documents.evaluation import EVALUATION
from frostline.documents.freeze import FREEZE_PLAN
from frostline.documents.release import DECISION
from frostline.errors import DataError
from frostline.events import step
from frostline.publishing import hold, push

_MEASURES: tuple[Literal["accuracy", "macro_f1", "log_loss", "brier", "calibration_error"], ...] = (
    "accuracy",
    "macro_f1",
    "log_loss",
    "brier",
    "calibration_error",
)


class Released(TypedDict):
    """What the run's page shows: the outcome in one line, and numbers by name."""

    outcome: str
    numbers: dict[str, float]


@step("release")
def run(
    *,
    model: str,
    evaluation: str,
    decision: str,
    model_name: str,
    registry: str,
    signing: dict[str, Any],
    released: str,
    page: str,
) -> Released:
    """Push or hold, as decision.json says.

    Args:
        model, evaluation, decision: directories that train, evaluate and gate wrote.
        model_name: name of the model in the registry.
        registry: the registry, a directory or gs://.
        signing: section of the configuration.
        released: directory to create: version.json and inference_service.yaml, or held.json.
        page: Markdown file to write.

    Returns:
        The outcome, which begins with `pushed`, `candidate` or `held`, and the numbers that runs are compared by.

    Raises:
        ConfigError: a parameter is wrong.
        DataError, RegistryError, NotFound, StorageError: see `frostline.publishing`.
    """
    keys = checked(model_name=model_name, registry=registry, signing=signing).signing
    if DECISION.read(Path(decision)).get("verdict") == "promote":
        outcome = push.run(
            model=model,
            evaluation=evaluation,
            decision=decision,
            model_name=model_name,
            registry=registry,
            published=released,
            key=keys.key,
            public_key=keys.public_key,
        )
    else:
        outcome = hold.run(
            decision=decision, evaluation=evaluation, model_name=model_name, registry=registry, held=released
        )
    numbers = {"promoted": float(outcome.startswith("pushed")), **_numbers(Path(model), Path(evaluation))}
    rows = "".join(f"| {name} | {value:g} |\n" for name, value in numbers.items())
    word, reason = outcome.split(": ", 1)
    write_file(Path(page), f"# {word.capitalize()}\n\n{reason}\n\n| | |\n|---|---|\n{rows}".encode())
    return {"outcome": outcome, "numbers": numbers}


def _numbers(model: Path, evaluation: Path) -> dict[str, float]:
    """Measures, latency, size and frozen share; nothing where the evaluation cannot be read, which the gate held."""
    try:
        measured, totals = EVALUATION.read(evaluation), FREEZE_PLAN.read(model)["totals"]
        serving = measured["serving"]
        return {
            **{name: measured[name]["value"] for name in _MEASURES},
            "latency_ms": serving["latency"][0]["p50"],
            "size_mb": serving["size_bytes"] / 1e6,
            "frozen_share": totals["frozen_parameters"] / max(totals["parameters"], 1),
        }
    except (DataError, LookupError, TypeError):
        return {}
