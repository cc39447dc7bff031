"""The train stage: fine-tune as planned, certify what stayed frozen, export for serving."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frostline import storage
from frostline.config import checked
from frostline.data import lineage
from frostline.documents.data import INFO
from frostline.documents.features import FEATURES
from frostline.documents.freeze import FREEZE_PLAN, WEIGHTS_SOURCE
from frostline.documents.training import HISTORY, RECORD_FILES, TRAINING
from frostline.errors import StorageError
from frostline.events import say, step
from frostline.freeze import certificate
from frostline.training import finished, keras_check, telemetry
from frostline.training.checkpoint import Checkpoints
from frostline.training.config import SessionSettings
from frostline.training.emission import emit
from frostline.training.provenance import provenance
from frostline.training.session import Inputs, Session


@step("train")
def run(
    *,
    info: str,
    freeze_plan: str,
    backbone_weights: str,
    features: Sequence[str],
    head: dict[str, Any],
    training: dict[str, Any],
    augment: dict[str, Any],
    cache: dict[str, Any],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    store: str,
    image: str,
    model: str,
    record: str,
    logs: str,
) -> None:
    """Train, certify and export; model.json, written last, makes the artifact complete.

    Where a training with the same inputs is finished in the store, its model is taken, unless `cache.mode` is off.

    Args:
        info, freeze_plan, backbone_weights: directories that validate and plan wrote.
        features: a directory per shard, written by featurize.
        head, training, augment, cache: sections of the configuration.
        epochs: passes over the training split in the first phase.
        batch_size: images per step, over all replicas.
        learning_rate: step size in the first phase.
        seed: of the head, the order of examples, dropout and augmentation.
        store: root of the store, a directory or gs://, where checkpoints are kept. The last one stays until `evaluate`
            has read the model, so that an attempt whose model did not arrive costs no training.
        image: the container image that this runs in, for the record.
        model: directory to create; what a killed attempt left there is removed.
        record: directory to create, with what of `model` the gate reads: a pod need not fetch a model to decide.
        logs: directory to create, with scalars for TensorBoard.

    Raises:
        FreezeViolation: a frozen weight changed; no model is emitted.
        NonFiniteLoss: training diverged.
        Preempted: the process was asked to stop; the next attempt resumes.
        FrostlineError: this version of Keras does not honour `trainable`.
        WeightsError, ConfigError, DataError, StorageError: the inputs cannot be used.
    """
    parameters = checked(
        head=head, training=training, augment=augment, cache=cache, epochs=epochs, batch_size=batch_size,
        learning_rate=learning_rate, seed=seed, store=store, image=image,
    )  # fmt: skip
    settings = SessionSettings(**{name: getattr(parameters, name) for name in SessionSettings.model_fields})
    dataset, plan = INFO.read(Path(info)), FREEZE_PLAN.read(Path(freeze_plan))
    source = WEIGHTS_SOURCE.read(Path(backbone_weights))
    inputs = Inputs(dataset, plan, source, [FEATURES.read(Path(shard)) for shard in features])
    before = lineage.read(Path(backbone_weights))
    out = Path(model)
    if out.exists():  # of a killed attempt: it may have links into the store, which must not be written to
        shutil.rmtree(out)
    out.mkdir(parents=True)
    key = finished.key_of(settings, inputs, before, image) if settings.cache.mode != "off" else ""
    with telemetry.Scalars(logs) as scalars:
        if key and finished.take(settings.store, key, inputs, out):
            say(f"the same training was done before, so its model is taken from the store: trainings/{key[:12]}")
            for row in HISTORY.read(out):
                scalars.write(row)
        else:
            checkpoints = _train(settings, inputs, before, image, scalars, out)
            if key:
                addresses = {one["address"] for part in inputs.features for one in part["sets"]}
                finished.keep(settings.store, key, out, settings.cache.limit_bytes, addresses)
            _tidy(checkpoints, settings.store)
    Path(record).mkdir(parents=True, exist_ok=True)
    for name in RECORD_FILES:
        shutil.copyfile(out / name, Path(record) / name)


def _train(
    settings: SessionSettings, inputs: Inputs, before: set[str], image: str, scalars: telemetry.Scalars, out: Path
) -> Checkpoints:
    """Train and write the model's directory; returns the checkpoints, of which some are left."""
    say(keras_check.require_trustworthy_keras())
    with tempfile.TemporaryDirectory() as scratch:
        session = Session(settings, inputs, Path(scratch), scalars)
        session.run()
    comparison = session.compare()
    if not comparison["verified"]:
        session.checkpoints.clear()  # nothing may resume from a training that did not follow its plan
    certificate.require_still(comparison)
    HISTORY.write(out, session.state.history)
    TRAINING.write(out, session.report())
    lineage.write(out, {**session.image_ids, lineage.BEFORE: before})
    FREEZE_PLAN.write(out, inputs.plan)
    origin = provenance(settings, inputs.info, inputs.plan, inputs.source, image)
    emit(session.model, comparison, inputs.plan, inputs.info, settings.head, origin, out)
    return session.checkpoints


def _tidy(checkpoints: Checkpoints, store: str) -> None:
    try:
        checkpoints.clear(keep=1)  # `evaluate` removes it: until then this attempt's model can be lost
        storage.sweep(store)
    except StorageError as error:
        say(f"{error}; the model is written, and what the training no longer needs stays in the store")
