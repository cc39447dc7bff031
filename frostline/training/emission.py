"""The files of a trained model: Keras' own, the serving export, the description and the freeze certificate."""

from __future__ import annotations

from pathlib import Path

import keras

from frostline import artifacts, digests
from frostline.documents.data import DatasetInfo
from frostline.documents.freeze import CERTIFICATE, Certificate, Comparison, FreezePlan
from frostline.documents.training import (
    KERAS_FILE,
    MODEL,
    SERVING_DIRECTORY,
    ModelDescription,
    ModelIdentity,
    Provenance,
)
from frostline.events import say
from frostline.freeze import certificate
from frostline.model import architecture, export
from frostline.model.config import HeadConfig


def emit(
    model: keras.Model,
    comparison: Comparison,
    plan: FreezePlan,
    info: DatasetInfo,
    head: HeadConfig,
    provenance: Provenance,
    out: Path,
) -> None:
    """Save, reload without the strategy, export, certify; model.json, written last, makes the directory complete.

    The reload checks the .keras file and gives the export a model without replicas.

    Args:
        model: as trained.
        comparison: of the backbone before and after every phase with the plan; it must be verified.
        plan: the freeze plan, which lies in `out` already, as do the history and the report of the training.
        info: the dataset.
        head: its configuration.
        provenance: where everything came from.
        out: the model's directory.

    Raises:
        WeightsError: the saved backbone has another graph than the resolved one.
        StorageError: a file cannot be written.
    """
    model.save(out / KERAS_FILE)
    plain = keras.models.load_model(out / KERAS_FILE, compile=False, safe_mode=True)
    architecture.require_backbone(plain, comparison.get("graph_digest"), KERAS_FILE)
    digest = certificate.weights_digest(plain.layers)
    export.save(plain, info["labels"], info["image_size"], plan["backbone"], out / SERVING_DIRECTORY)
    identity: ModelIdentity = {
        "labels": info["labels"],
        "image_size": info["image_size"],
        "backbone": plan["backbone"],
        "head": {"hidden": list(head.hidden), "dropout": head.dropout},
    }
    model_digest = digests.of_json({"weights": digest, **identity})
    description: ModelDescription = {
        "labels": identity["labels"],
        "image_size": identity["image_size"],
        "backbone": identity["backbone"],
        "head": identity["head"],
        "model_digest": model_digest,
        "policy": plan["policy"],
        "dataset_digest": info["dataset_digest"],
        "parameters": plain.count_params(),
        "frozen_parameters": plan["totals"]["frozen_parameters"],
        "provenance": provenance,
    }
    described = MODEL.encode(description)
    unsealed: Certificate = {
        "verified": comparison["verified"],
        "frozen_tensors": comparison["frozen_tensors"],
        "trainable_tensors": comparison["trainable_tensors"],
        "replicas": comparison["replicas"],
        "moved": comparison["moved"],
        "unmoved_trainable": comparison["unmoved_trainable"],
        "plan_digest": comparison["plan_digest"],
        "source_digest": comparison["source_digest"],
        "phases": comparison["phases"],
        "tensors": comparison["tensors"],
        "model_digest": model_digest,
        "weights_digest": digest,
        "files": {**certificate.file_digests(out), MODEL.file: digests.of_bytes(described)},
    }
    if "graph_digest" in comparison:
        unsealed["graph_digest"] = comparison["graph_digest"]
    CERTIFICATE.write(out, certificate.seal(unsealed))
    artifacts.write_file(out / MODEL.file, described)
    _report(comparison)


def _report(comparison: Comparison) -> None:
    if comparison["frozen_tensors"]:
        say(f"{comparison['frozen_tensors']} frozen tensors are bit-identical after training, on every replica")
    unmoved = comparison["unmoved_trainable"]
    if unmoved:
        say(f"{len(unmoved)} trainable tensors never changed, the first is {unmoved[0]}")
