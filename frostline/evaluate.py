"""The evaluate stage: what ships, measured on the test split's original bytes, beside the model that serves."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from frostline import artifacts, digests, telemetry
from frostline.artifacts import Json
from frostline.data import lineage, records
from frostline.errors import DataError
from frostline.evaluation import champion, golden, latency, metrics, mistakes, skew, slices
from frostline.evaluation.champion import Challenger
from frostline.events import progress, say, step
from frostline.gating.config import GateConfig
from frostline.model.serving import Served
from frostline.registry import promotions_decided_on
from frostline.reporting import pages
from frostline.section import parse

_BATCH = 32  # images a call of the serving signature


@step("evaluate")
def run(
    *,
    dataset: str,
    info: str,
    model: str,
    model_name: str,
    gate: dict[str, Any],
    registry: str,
    evaluation: str,
    page: str,
) -> Json:
    """Write evaluation.json, predictions.parquet, golden.parquet, worst.json and the report page.

    Returns:
        {numbers: for the run's page, by name; labels; confusion: rows are true classes}.

    Raises:
        DataError: there is no test image, an image changed since it was ingested, or a file of the model is missing.
        RegistryError: the champion cannot be read.
    """
    confidence = parse(GateConfig, gate, field="gate").confidence
    dataset_info = artifacts.read_json(Path(info) / "info.json", "info")
    described = artifacts.read_json(Path(model) / "model.json", "model")
    rows = _test_rows(Path(dataset), set(dataset_info["quarantined"]))
    out = Path(evaluation)
    out.mkdir(parents=True, exist_ok=True)
    measured, probabilities = _measure(Path(model), described, dataset_info, rows, confidence, out)
    challenger = Challenger(dataset_info["labels"], rows, probabilities)
    against, theirs = champion.against(registry, model_name, challenger, predict, confidence)
    split = digests.of_json(sorted({row["sha256"] for row in rows}))
    document: Json = {
        "model_name": model_name,
        "model_digest": described["model_digest"],
        "labels": dataset_info["labels"],
        "confidence": confidence,
        "test_split": {
            "digest": split,
            "promotions": promotions_decided_on(registry, model_name, split),
        },
        **measured,
        "champion": against,
    }
    worst = mistakes.worst(rows, probabilities, dataset_info["labels"])
    _write_predictions(out / "predictions.parquet", challenger, theirs)
    artifacts.write_json(out / "worst.json", "worst", {"images": worst})
    _page(out / "report.html", Path(model), document, worst)
    artifacts.write_file(Path(page), (out / "report.html").read_bytes())
    artifacts.write_json(out / "evaluation.json", "evaluation", document)
    accuracy = document["accuracy"]
    say(f"accuracy {accuracy['value']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f}) on {len(rows)} images")
    names = ("accuracy", "macro_f1", "log_loss", "brier", "calibration_error")
    numbers = {name: document[name]["value"] for name in names}
    return {"numbers": numbers, "labels": dataset_info["labels"], "confusion": document["confusion"]}


def _measure(
    model_dir: Path, model: Json, info: Json, rows: Sequence[Json], confidence: float, out: Path
) -> tuple[Json, NDArray[np.float32]]:
    """The challenger by itself; its probabilities, [rows, labels] float32."""
    labels = np.array([row["label"] for row in rows], np.int64)
    serving = model_dir / "serving"
    with Served(serving) as served:
        probabilities = _predict(served, rows, "images")
        data = [records.original(row) for row in sorted(rows, key=lambda row: str(row["sha256"]))[:_BATCH]]
        golden.write(out, data[: golden.SIZE], served.predict(data[: golden.SIZE]))
        timed = latency.time_calls(served, data)
    peak = telemetry.peak_memory()["host_bytes"]  # before the Keras model and the champion are loaded
    by_digest = {row["sha256"]: probabilities[place] for place, row in enumerate(rows)}
    with tempfile.TemporaryDirectory() as scratch:
        skewed = skew.compare_paths(
            model_dir / "model.keras", info["records"], info["image_size"], model["backbone"], by_digest, Path(scratch)
        )
    found, left_out = slices.find(rows)
    if left_out:
        say(f"no slices are made of {', '.join(left_out)}: too many different values")
    predicted = probabilities.argmax(axis=1)
    made_with = lineage.read(model_dir)
    return {
        **metrics.classification(labels, probabilities, info["labels"], confidence),
        "slices": [
            {
                "column": one.column,
                "value": one.value,
                "examples": int(np.count_nonzero(one.mask)),
                "accuracy": metrics.accuracy(labels[one.mask], predicted[one.mask], confidence),
            }
            for one in found
        ],
        "columns_left_out": left_out,
        "serving": {**timed, "size_bytes": latency.size_bytes(serving), "peak_memory_bytes": peak},
        "skew": skewed,
        "leaked": sum(digest in made_with for digest in by_digest),
    }, probabilities


def predict(serving: Path, rows: Sequence[Json]) -> NDArray[np.float32]:
    """Feed original bytes through a champion's serving signature.

    Args:
        serving: the SavedModel's directory.
        rows: manifest rows.

    Returns:
        [len(rows), classes] float32 probabilities.
    """
    with Served(serving) as served:
        return _predict(served, rows, "images (champion)")


def _predict(served: Served, rows: Sequence[Json], unit: str) -> NDArray[np.float32]:
    results = []
    for start in progress(range(0, len(rows), _BATCH), total=-(-len(rows) // _BATCH), unit=f"batches of {unit}"):
        results.append(served.predict([records.original(row) for row in rows[start : start + _BATCH]]))
    return np.concatenate(results)


def _test_rows(dataset: Path, quarantined: set[str]) -> list[Json]:
    """One row for each different image: copies would count as evidence again and again."""
    rows = [
        row
        for row in artifacts.read_jsonl(dataset / "manifest.jsonl")
        if row["split"] == "test" and row["id"] not in quarantined
    ]
    if not rows:
        raise DataError("the test split has no readable image; raise data.test_fraction or add images")
    different = list({row["sha256"]: row for row in reversed(rows)}.values())[::-1]
    if len(different) < len(rows):
        say(f"{len(rows) - len(different)} test images are copies of others and count once")
    return different


def _write_predictions(path: Path, challenger: Challenger, theirs: NDArray[np.float32] | None) -> None:
    rows, probabilities = challenger.rows, challenger.probabilities
    columns = {
        "id": [row["id"] for row in rows],
        "sha256": [row["sha256"] for row in rows],
        "label": [row["label"] for row in rows],
        "predicted": probabilities.argmax(axis=1),
        "probabilities": list(probabilities),
        "champion_predicted": pa.nulls(len(rows), pa.int64()) if theirs is None else theirs.argmax(axis=1),
    }
    pq.write_table(pa.table(columns), path)


def _page(path: Path, model: Path, evaluation: Json, worst: Sequence[Json]) -> None:
    """What the page says: the evaluation, and of the training a row for each epoch and sentences where it left some."""
    summary = model / "training.json"
    sentences = artifacts.read_json(summary, "training")["sentences"] if summary.exists() else []
    pages.run_page(
        path,
        model_name=evaluation["model_name"],
        plan=artifacts.read_json(model / "freeze_plan.json", "freeze_plan"),
        history=list(artifacts.read_jsonl(model / "training.jsonl")),
        sentences=sentences,
        evaluation=evaluation,
        worst=worst,
        decision=None,
    )
