"""The evaluate stage: what ships, measured on the test split's original bytes, beside the model that serves."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from numpy.typing import NDArray

from frostline import artifacts, compare, metrics, records, registry, report
from frostline.artifacts import Json
from frostline.config import GateConfig
from frostline.errors import DataError
from frostline.events import progress, say, step
from frostline.section import parse

_BATCH = 32  # images a call of the serving signature


@step("evaluate")
def run(
    dataset_dir: str,
    info_dir: str,
    model_dir: str,
    model_name: str,
    gate: dict[str, Any],
    registry_root: str,
    evaluation_dir: str,
    page: str,
) -> dict[str, float]:
    """Write evaluation.json, predictions.parquet and the report page.

    Returns:
        The numbers for the run's page: accuracy (0..1) and log_loss (nats).

    Raises:
        DataError: there is no test image, an image changed since it was ingested, or the training's history is missing.
        RegistryError: the champion cannot be read.
    """
    confidence = parse(GateConfig, gate, field="gate").confidence
    info = artifacts.read_json(Path(info_dir) / "info.json", "info")
    model = artifacts.read_json(Path(model_dir) / "model.json", "model")
    rows = _test_rows(Path(dataset_dir), set(info["quarantined"]))
    labels = np.array([row["label"] for row in rows], np.int64)
    probabilities = predict(Path(model_dir) / "serving", rows, "images")
    predicted = probabilities.argmax(axis=1)
    confusion = metrics.confusion_matrix(labels, predicted, len(info["labels"]))
    evaluation: Json = {
        "model_digest": model["model_digest"],
        "labels": info["labels"],
        "examples": len(rows),
        "confidence": confidence,
        "accuracy": metrics.accuracy(labels, predicted, confidence),
        "log_loss": metrics.log_loss(labels, probabilities),
        "per_class": metrics.per_class(confusion, info["labels"]),
        "confusion": confusion.tolist(),
        "champion": _against_champion(registry_root, model_name, info["labels"], rows, predicted, confidence),
    }
    out = Path(evaluation_dir)
    out.mkdir(parents=True, exist_ok=True)
    _write_predictions(out / "predictions.parquet", rows, predicted, probabilities)
    training = _training(Path(model_dir))
    report.write(out / "report.html", "evaluation.html", evaluation=evaluation, model_name=model_name, **training)
    artifacts.write_file(Path(page), (out / "report.html").read_bytes())
    artifacts.write_json(out / "evaluation.json", "evaluation", evaluation)
    accuracy = evaluation["accuracy"]
    say(f"accuracy {accuracy['value']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f}) on {len(rows)} images")
    return {"accuracy": accuracy["value"], "log_loss": evaluation["log_loss"]}


def _training(model: Path) -> Json:
    """What the page says about the training: a row for each epoch, and sentences where training left some."""
    summary = model / "training.json"
    sentences = artifacts.read_json(summary, "training")["sentences"] if summary.exists() else []
    return {"history": list(artifacts.read_jsonl(model / "training.jsonl")), "sentences": sentences}


def predict(serving: Path, rows: Sequence[Json], unit: str) -> NDArray[np.float32]:
    """Feed original bytes through a SavedModel's serving signature.

    Args:
        serving: the SavedModel's directory.
        rows: manifest rows.
        unit: what the progress bar counts.

    Returns:
        [len(rows), classes] float32 probabilities.
    """
    loaded = tf.saved_model.load(str(serving))  # kept until the end: its variables die with it
    serve = loaded.signatures["serving_default"]
    results = []
    for start in progress(range(0, len(rows), _BATCH), total=-(-len(rows) // _BATCH), unit=f"batches of {unit}"):
        data = [records.original(row) for row in rows[start : start + _BATCH]]
        results.append(serve(image_bytes=tf.constant(data))["probabilities"].numpy())
    return np.concatenate(results)


def _test_rows(dataset: Path, quarantined: set[str]) -> list[Json]:
    rows = [
        row
        for row in artifacts.read_jsonl(dataset / "manifest.jsonl")
        if row["split"] == "test" and row["id"] not in quarantined
    ]
    if not rows:
        raise DataError("the test split has no readable image; raise data.test_fraction or add images")
    return rows


def _against_champion(
    root: str,
    model_name: str,
    labels: list[str],
    rows: Sequence[Json],
    predicted: NDArray[np.int64],
    confidence: float,
) -> Json | None:
    """The comparison with the champion on the same examples; None where no champion serves yet."""
    alias = registry.champion(root, model_name)
    if alias is None:
        return None
    version = registry.resolve(root, f"registry:{model_name}/{alias.version}")
    with tempfile.TemporaryDirectory() as directory:
        champion = registry.download(version, Path(directory) / "champion")
        described = artifacts.read_json(champion / "model.json", "model")
        seen: Json = {
            "version": alias.version,
            "manifest_digest": alias.manifest_digest,
            "generation": alias.generation,
            "model_digest": described["model_digest"],
        }
        if set(described["labels"]) != set(labels):
            return {**seen, "comparable": False, "reason": _differ(described["labels"], labels)}
        theirs = predict(champion, rows, "images (champion)").argmax(axis=1)
    order = np.array([labels.index(label) for label in described["labels"]])
    truth = np.array([row["label"] for row in rows], np.int64)
    return {**seen, "comparable": True, "reason": "", **compare.compare(truth, predicted, order[theirs], confidence)}


def _differ(theirs: list[str], ours: list[str]) -> str:
    gone, added = sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))
    return (
        f"its labels are others (only it has {gone or 'none'}, only this model {added or 'none'}); "
        "push under another model_name, or give both the same labels with data.classes"
    )


def _write_predictions(
    path: Path, rows: Sequence[Json], predicted: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> None:
    columns = {
        "id": [row["id"] for row in rows],
        "sha256": [row["sha256"] for row in rows],
        "label": [row["label"] for row in rows],
        "predicted": predicted,
        "probabilities": list(probabilities),
    }
    pq.write_table(pa.table(columns), path)
