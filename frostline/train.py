"""The train stage: fine-tune as planned, certify what stayed frozen, export for serving."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from frostline import artifacts, digests, export, head, loop, probe, storage, strategy, weights
from frostline.artifacts import Json
from frostline.config import HeadConfig
from frostline.events import progress, say, step
from frostline.freeze import certificate
from frostline.freeze.phases import Phase, phases
from frostline.section import parse


@step("train")
def run(
    info_dir: str,
    plan_dir: str,
    weights_dir: str,
    head_section: dict[str, Any],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    model_dir: str,
) -> None:
    """Train, certify and export; model.json, the last file written, makes the artifact whole.

    Raises:
        FreezeViolation: a frozen weight moved; no model is emitted.
        FrostlineError: this Keras would not hold the plan.
        WeightsError, ConfigError, DataError, StorageError: what was handed over cannot be used.
    """
    head_config = parse(HeadConfig, head_section, field="head")
    info = artifacts.read_json(Path(info_dir) / "info.json", "info")
    plan = artifacts.read_json(Path(plan_dir) / "freeze_plan.json", "freeze_plan")
    source = artifacts.read_json(Path(weights_dir) / "source.json", "weights")
    schedule = phases(plan, epochs, learning_rate)
    say(probe.require_trustworthy_keras())
    out = Path(model_dir)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        records = storage.localize(info["records"], Path(scratch))
        data = loop.Data(records, info["image_size"], info["splits"], batch_size, seed)
        model, proof = _train(plan, schedule, source, head_config, len(info["labels"]), data, out)
    certificate.require_still(proof)
    shutil.copyfile(Path(plan_dir) / "freeze_plan.json", out / "freeze_plan.json")
    _emit(model, proof, plan, info, head_config, out)


def _train(
    plan: Json,
    schedule: Sequence[Phase],
    source: Json,
    head_config: HeadConfig,
    classes: int,
    data: loop.Data,
    out: Path,
) -> tuple[keras.Model, Json]:
    keras.utils.set_random_seed(data.seed)
    tf.config.experimental.enable_op_determinism()
    scope = strategy.mirrored()
    with scope.scope():
        backbone = weights.load(source, plan["backbone"], plan["image_size"])
        keras.utils.set_random_seed(data.seed)  # the head's weights do not depend on how the backbone was built
        model = head.attach(backbone, head_config, classes)
    epochs = sum(phase.epochs for phase in schedule)
    say(f"{data.splits['train']} images, {epochs} epochs, {scope.num_replicas_in_sync} replica(s)")
    done = progress(range(epochs * data.steps), total=epochs * data.steps, unit="steps")
    states, slots = [certificate.replica_digests(backbone.layers)], []
    history: list[Json] = []
    for phase in schedule:
        with scope.scope():
            loop.apply_phase(model, plan, phase)
            trainer = loop.Trainer(model, plan["backbone"], phase, data, scope)
        say(
            f"phase {phase.number} of {len(schedule)}: {_trainable(model):,} trainable parameters, "
            f"learning rate {phase.learning_rate:g}"
        )
        for row in trainer.fit(len(history), done):
            loop.describe(row, epochs)
            history.append(row)
        states.append(certificate.replica_digests(backbone.layers))
        slots.append(certificate.names_of(trainer.optimized, backbone.layers))
    next(done, None)
    artifacts.write_jsonl(out / "training.jsonl", history)
    return model, certificate.certify(plan, schedule, states, slots, source_digest=source["digest"])


def _trainable(model: keras.Model) -> int:
    return sum(math.prod(weight.shape) for weight in model.trainable_variables)


def _emit(model: keras.Model, proof: Json, plan: Json, info: Json, head_config: HeadConfig, out: Path) -> None:
    """Save, reload without the strategy, export; the reload proves the .keras file and frees the export of replicas."""
    model.save(out / "model.keras")
    plain = keras.models.load_model(out / "model.keras", compile=False, safe_mode=True)
    digest = certificate.weights_digest(plain.layers)
    export.save(plain, info["labels"], info["image_size"], plan["backbone"], out / "serving")
    description = {
        "labels": info["labels"],
        "image_size": info["image_size"],
        "backbone": plan["backbone"],
        "head": head_config.model_dump(mode="json"),
    }
    model_digest = digests.of_json({"weights": digest, **description})
    description |= {
        "model_digest": model_digest,
        "policy": plan["policy"],
        "dataset_digest": info["dataset_digest"],
        "parameters": plain.count_params(),
        "frozen_parameters": plan["totals"]["frozen_parameters"],
    }
    described = artifacts.encode("model", description)
    files = {**certificate.file_digests(out), "model.json": digests.of_bytes(described)}
    proof |= {"model_digest": model_digest, "weights_digest": digest, "files": files}
    artifacts.write_json(out / certificate.FILE, "freeze_certificate", certificate.seal(proof))
    artifacts.write_file(out / "model.json", described)
    if proof["frozen_tensors"]:
        say(f"{proof['frozen_tensors']} frozen tensors are bit-identical after training, on every replica")
    if proof["unmoved_trainable"]:
        unmoved = proof["unmoved_trainable"]
        say(f"{len(unmoved)} trainable tensors never moved, {unmoved[0]} first")
