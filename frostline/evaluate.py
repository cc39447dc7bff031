"""The evaluate stage: the exported model on the original bytes of the test split, and the champion on the same images.

Every metric is of what will be published: the SavedModel, loaded as a server loads it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from frostline import artifacts
from frostline.config import checked
from frostline.data import lineage, records
from frostline.documents.data import INFO, MANIFEST, DatasetInfo, ManifestRow
from frostline.documents.evaluation import (
    EVALUATION,
    PREDICTIONS_FILE,
    REPORT_FILE,
    WORST,
    Confusion,
    Evaluation,
    Measured,
    Mistake,
    Serving,
)
from frostline.documents.freeze import FREEZE_PLAN
from frostline.documents.training import HISTORY, KERAS_FILE, MODEL, SERVING_DIRECTORY, TRAINING
from frostline.errors import DataError, StorageError
from frostline.evaluation import golden, latency, metrics, mistakes, reuse, skew, slices
from frostline.evaluation.champion import Challenger, compare_with_champion
from frostline.evaluation.reference import compare_with_reference
from frostline.events import progress, say, step
from frostline.model import arithmetic, graph_digest
from frostline.model.serving import Served
from frostline.registry.keys import optional_public_key
from frostline.reporting import pages
from frostline.training import telemetry
from frostline.training.checkpoint import Checkpoints, place

_BATCH = 32  # images per call of the serving signature


@step("evaluate")
def run(
    *,
    dataset: str,
    info: str,
    model: str,
    model_name: str,
    gate: dict[str, Any],
    store: str,
    registry: str,
    signing: dict[str, Any],
    evaluation: str,
    page: str,
) -> Confusion:
    """Write evaluation.json, predictions.parquet, golden.parquet, worst.json and the report page.

    The model has arrived now: the last checkpoint of its training is removed from the store.

    Returns:
        {labels, confusion: rows are true classes}.

    Raises:
        ConfigError: a parameter is wrong.
        DataError: there is no test image, an image changed since it was ingested, or a file of the model is missing.
        RegistryError: the champion cannot be read, or it or the reference has no signature, which is demanded.
    """
    config = checked(model_name=model_name, gate=gate, store=store, registry=registry, signing=signing)
    confidence, public_key = config.gate.confidence, optional_public_key(config.signing.public_key)
    dataset_info, model_dir = INFO.read(Path(info)), Path(model)
    labels, model_digest = dataset_info["labels"], MODEL.read(model_dir)["model_digest"]
    rows = _test_rows(Path(dataset), set(dataset_info["quarantined"]))
    out = Path(evaluation)
    out.mkdir(parents=True, exist_ok=True)
    measured, probabilities = _evaluate_challenger(model_dir, dataset_info, rows, confidence, out)
    challenger = Challenger(labels, rows, probabilities)

    def predict_opponent(serving: Path, rows: Sequence[ManifestRow]) -> NDArray[np.float32]:
        same = graph_digest.are_same(serving, model_dir / SERVING_DIRECTORY)
        return probabilities if same else predict(serving, rows)

    compared, theirs = compare_with_champion(registry, model_name, challenger, predict_opponent, confidence, public_key)
    reference = compare_with_reference(
        registry, model_name, challenger, predict_opponent, confidence, compared, public_key
    )  # fmt: skip
    use = reuse.record(registry, model_name, model_digest, rows, measured["accuracy"], compared, reference)
    document: Evaluation = {
        "schema": artifacts.schema(EVALUATION.kind),
        "model_name": model_name,
        "model_digest": model_digest,
        "labels": labels,
        "confidence": confidence,
        "attempt": use.attempt,
        "arithmetic": arithmetic.of_serving(),
        "test_split": use.split,
        **measured,
        "champion": compared,
        "reference": reference,
        "chain": use.chain,
    }
    worst = mistakes.worst(rows, probabilities, labels)
    _write_predictions(out / PREDICTIONS_FILE, challenger, theirs)
    WORST.write(out, {"images": worst})
    _write_page(out / REPORT_FILE, model_dir, document, worst)
    artifacts.write_file(Path(page), (out / REPORT_FILE).read_bytes())
    EVALUATION.write(out, document)
    _forget_training(store, model_dir)
    accuracy = document["accuracy"]
    say(f"accuracy {accuracy['value']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f}) on {len(rows)} images")
    return {"labels": labels, "confusion": document["confusion"]}


def _forget_training(store: str, model_dir: Path) -> None:
    if not (model_dir / TRAINING.file).exists():
        return
    try:
        Checkpoints(place(store, TRAINING.read(model_dir)["fingerprint"])).clear()
    except StorageError as error:
        say(f"{error}; the last checkpoint of the training stays in the store")


def _evaluate_challenger(
    model_dir: Path, info: DatasetInfo, rows: Sequence[ManifestRow], confidence: float, out: Path
) -> tuple[Measured, NDArray[np.float32]]:
    """Everything but the comparison, and the probabilities, [rows, labels] float32; writes the golden batch."""
    labels = np.array([row["label"] for row in rows], np.int64)
    with tempfile.TemporaryDirectory() as scratch:
        paths = skew.Paths(info["records"], info["image_size"], Path(scratch))
        probabilities, serving = _serve(model_dir / SERVING_DIRECTORY, rows, paths, out)
        by_digest = {row["sha256"]: probabilities[place] for place, row in enumerate(rows)}
        skewed = paths.compare(model_dir / KERAS_FILE, MODEL.read(model_dir)["backbone"], by_digest)
    found, left_out = slices.find(rows)
    if left_out:
        say(f"no slices for {', '.join(left_out)}: too many different values")
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
        "serving": serving,
        "skew": skewed,
        "leaked": sum(digest in made_with for digest in by_digest),
    }, probabilities


def _serve(
    serving: Path, rows: Sequence[ManifestRow], paths: skew.Paths, out: Path
) -> tuple[NDArray[np.float32], Serving]:
    """The export's probabilities and its cost; each image goes through it once, and its pixels are compared.

    The peak memory is read before the Keras model and the champion are loaded.
    """
    first = {row["sha256"]: b"" for row in sorted(rows, key=lambda row: row["sha256"])[:_BATCH]}
    predicted: dict[str, NDArray[np.float32]] = {}
    with Served(serving) as served:
        timer = latency.Timer(served)
        for ids, files in _originals(rows, "images"):
            predicted.update(zip(ids, timer.predict(files), strict=True))
            paths.add(ids, files)
            first.update((one, data) for one, data in zip(ids, files, strict=True) if one in first)
        shown = list(first)[: golden.SIZE]
        golden.write(out, [first[one] for one in shown], np.stack([predicted[one] for one in shown]))
        timed = timer.measure(list(first.values()))
    peak = telemetry.peak_memory()["host_bytes"]
    probabilities = np.stack([predicted[row["sha256"]] for row in rows])
    return probabilities, {**timed, "size_bytes": latency.size_bytes(serving), "peak_memory_bytes": peak}


def predict(serving: Path, rows: Sequence[ManifestRow]) -> NDArray[np.float32]:
    """Feed the original bytes to a champion's serving signature.

    Args:
        serving: the SavedModel's directory.
        rows: manifest rows.

    Returns:
        [len(rows), classes] float32 probabilities.
    """
    with Served(serving) as served:
        return np.concatenate([served.predict(files) for _, files in _originals(rows, "images (champion)")])


def _originals(rows: Sequence[ManifestRow], unit: str) -> Iterator[tuple[list[str], list[bytes]]]:
    """The SHA-256 and the original bytes of the images, a batch at a time."""
    for start in progress(range(0, len(rows), _BATCH), total=-(-len(rows) // _BATCH), unit=f"batches of {unit}"):
        part = rows[start : start + _BATCH]
        yield [row["sha256"] for row in part], [records.original(row) for row in part]


def _test_rows(dataset: Path, quarantined: set[str]) -> list[ManifestRow]:
    """One row per distinct image: a copy is not further evidence."""
    rows = [row for row in MANIFEST.read(dataset) if row["split"] == "test" and row["id"] not in quarantined]
    if not rows:
        raise DataError("the test split has no readable image; raise data.test_fraction or add images")
    distinct = list({row["sha256"]: row for row in reversed(rows)}.values())[::-1]
    if len(distinct) < len(rows):
        say(f"{len(rows) - len(distinct)} test images are copies of others and count once")
    return distinct


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


def _write_page(path: Path, model: Path, evaluation: Evaluation, worst: Sequence[Mistake]) -> None:
    """The report page: the evaluation, and the history and the report of the training, if it wrote one."""
    pages.run_page(
        path,
        model_name=evaluation["model_name"],
        plan=FREEZE_PLAN.read(model),
        history=HISTORY.read(model),
        sentences=TRAINING.read(model)["sentences"] if (model / TRAINING.file).exists() else [],
        evaluation=evaluation,
        worst=worst,
        decision=None,
    )
