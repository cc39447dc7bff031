"""The train stage: fine-tune as planned, certify what stayed frozen, export for serving."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from frostline import artifacts, digests, storage, telemetry
from frostline.artifacts import Json
from frostline.data import lineage
from frostline.data.config import AugmentConfig
from frostline.errors import ConfigError, DataError, FeaturesDisagree
from frostline.events import say, step
from frostline.features import equivalence, precision, prefix
from frostline.features.builder import FeatureBuilder, ImageRecords
from frostline.features.config import CacheConfig
from frostline.features.source import Features
from frostline.freeze import certificate
from frostline.freeze.phases import phases
from frostline.model import export, head, weights
from frostline.model.config import HeadConfig
from frostline.section import parse
from frostline.training import feed, keras_check, loop, report, strategy
from frostline.training.checkpoint import Checkpoints
from frostline.training.config import TrainingConfig
from frostline.training.fit import Fit, PhaseSources, State
from frostline.training.preemption import stop_requested


@dataclass(frozen=True)
class Settings:
    """What a training is told, sections checked.

    Attributes:
        head, training, augment, cache: sections of the configuration.
        epochs: passes over the training split in the first phase.
        batch_size: images a step, over all replicas.
        learning_rate: step size in the first phase.
        seed: of everything that is drawn.
        store: root of the heavy bytes.
    """

    head: HeadConfig
    training: TrainingConfig
    augment: AugmentConfig
    cache: CacheConfig
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    store: str


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
    logs: str,
) -> None:
    """Train, certify and export; model.json, the last file written, makes the artifact whole.

    Args:
        info, freeze_plan, backbone_weights, features: what validate, plan and, for each shard, featurize wrote.
        head, training, augment, cache: sections of the configuration.
        epochs: passes over the training split in the first phase.
        batch_size: images a step, over all replicas.
        learning_rate: step size in the first phase.
        seed: of the head, the order of examples, dropout and variants of images.
        store: root of the heavy bytes; checkpoints lie there until the model is whole.
        image: the container image that this runs in, for the record.
        model: directory to create.
        logs: directory to create, with scalars for TensorBoard.

    Raises:
        FreezeViolation: a frozen weight moved; no model is emitted.
        NonFiniteLoss: training diverged.
        Preempted: the process was told to stop; the next attempt goes on.
        FrostlineError: this Keras would not hold the plan.
        WeightsError, ConfigError, DataError, StorageError: what was handed over cannot be used.
    """
    settings = Settings(
        parse(HeadConfig, head, field="head"),
        parse(TrainingConfig, training, field="training"),
        parse(AugmentConfig, augment, field="augment"),
        parse(CacheConfig, cache, field="cache"),
        epochs,
        batch_size,
        learning_rate,
        seed,
        store,
    )
    dataset = artifacts.read_json(Path(info) / "info.json", "info")
    plan = artifacts.read_json(Path(freeze_plan) / "freeze_plan.json", "freeze_plan")
    source = artifacts.read_json(Path(backbone_weights) / "source.json", "weights")
    made = [artifacts.read_json(Path(path) / "features.json", "features") for path in features]
    say(keras_check.require_trustworthy_keras())
    out = Path(model)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, telemetry.Scalars(logs) as scalars:
        session = Training(settings, dataset, plan, source, made, Path(scratch), scalars.write)
        session.run()
    proof = session.certify()
    if not proof["verified"]:
        session.checkpoints.clear()  # nothing may go on from a training that is not what its plan says
    certificate.require_still(proof)
    artifacts.write_jsonl(out / "training.jsonl", session.state.history)
    artifacts.write_json(out / "training.json", "training", session.report())
    lineage.write(out, {**session.images, lineage.BEFORE: lineage.read(Path(backbone_weights))})
    shutil.copyfile(Path(freeze_plan) / "freeze_plan.json", out / "freeze_plan.json")
    provenance = {**session.provenance(), "image": image}
    _emit(session.model, proof, plan, dataset, settings.head, provenance, out)
    session.checkpoints.clear()
    storage.sweep(settings.store)


class Training:
    """One training from its weights to its last step, on cached features where the shards made them."""

    def __init__(
        self,
        settings: Settings,
        info: Json,
        plan: Json,
        source: Json,
        made: Sequence[Json],
        scratch: Path,
        tell: Callable[[Json], None],
    ) -> None:
        """Take what the steps before wrote; `scratch` is for files of a bucket, `tell` takes each epoch's row."""
        self._settings, self._info, self._plan, self._source = settings, info, plan, source
        self._scratch, self._tell = scratch, tell
        self._schedule = phases(plan, settings.epochs, settings.learning_rate)
        self._uses, self._sets = feed.gather(made)
        self._verdicts = {layer: verdict for part in made for layer, verdict in part["verdicts"].items()}
        if len(self._uses) != len(self._schedule):
            raise ConfigError("features.json", len(self._uses), f"the plan has {len(self._schedule)} phases")

    def run(self) -> None:
        """Train; where features in low precision turn out not to stand for the model, once more with float32's."""
        try:
            self._run(float32=False)
        except FeaturesDisagree as error:
            lowered = {layer: one for layer, one in self._verdicts.items() if one["computed_in"] != prefix.FLOAT32}
            if not lowered:
                raise
            say(f"{error}; the prefix is computed in float32 instead, and training starts again")
            self.checkpoints.clear()
            for layer, verdict in lowered.items():
                self._verdicts[layer] = precision.withdraw(verdict, f"after training: {error}")
            self._run(float32=True)

    def _run(self, *, float32: bool) -> None:
        settings = self._settings
        keras.utils.set_random_seed(settings.seed)
        tf.config.experimental.enable_op_determinism()
        self._strategy = strategy.mirrored()
        with self._strategy.scope():
            self._backbone = weights.load(self._source, self._plan["backbone"], self._plan["image_size"])
            keras.utils.set_random_seed(settings.seed)  # the head does not depend on how the backbone was built
            self.model = head.attach(self._backbone, settings.head, len(self._info["labels"]))
        images = ImageRecords(
            self._info["records"], self._info["image_size"], settings.augment, settings.seed, self._scratch
        )
        maker = FeatureBuilder(settings.store, self.model, self._plan["backbone"], images, settings.cache)
        with feed.Feed(settings.store, maker, self._scratch) as self._feed:
            self._feed.open(self._sets, float32=float32)
            sources = self._feed.sources(self._uses, self._schedule)
            self.checkpoints = Checkpoints(storage.join(settings.store, "checkpoints", self._fingerprint(sources)))
            self._require_whole(sources[0])
            first = sources[0]
            self.images = {"train": first.train.examples.ids, "validation": first.validation.examples.ids}
            say(f"{len(sources[0].train.examples)} images, {self._strategy.num_replicas_in_sync} replica(s)")
            with stop_requested() as stopped:
                self._fit = Fit(
                    self.model,
                    self._backbone.layers,
                    self._plan,
                    self._schedule,
                    sources,
                    loop.StepSettings(self._plan["backbone"], settings.training, settings.batch_size, settings.seed),
                    self._strategy,
                    self.checkpoints,
                    self._prove,
                    stopped,
                    self._tell,
                )
                self.state: State = self._fit.run()
        self._maker = maker

    def _require_whole(self, sources: PhaseSources) -> None:
        for split, source in (("train", sources.train), ("validation", sources.validation)):
            found, expected = len(source.examples), self._info["splits"][split]
            if found != expected:
                where = self._info["records"]
                raise DataError(f"{split}: {where} tells of {found} examples; the data set has {expected}")

    def _prove(self, sources: PhaseSources) -> Json | None:
        """Compare a phase's features with the whole model, on images that are as they are where there are some."""
        validated = len(sources.validation.examples) > 0
        found = sources.validation if validated else sources.train
        if not isinstance(found, Features):
            return None
        images = self._feed.images("validation" if validated else "train", varied=not validated)
        view, exact = min(found.readers), self._feed.exact(found.layer)
        return equivalence.require_equivalent(self.model, self._plan["backbone"], found, images, view, exact)

    def _fingerprint(self, sources: Sequence[PhaseSources]) -> str:
        """Of everything that the trained bits depend on: another training does not go on from these checkpoints."""
        settings = self._settings
        return digests.of_json(
            {
                "data": self._info["dataset_digest"],
                "examples": [digests.of_json(list(part.train.examples.ids)) for part in sources],
                "plan": self._plan,
                "weights": self._source["digest"],
                "features": self._feed.digest,
                "entries": [part.train.layer for part in sources],
                "head": settings.head.model_dump(mode="json"),
                "training": settings.training.model_dump(mode="json", exclude={"checkpoint_seconds"}),
                "augment": settings.augment.model_dump(mode="json"),
                "numbers": [settings.epochs, settings.batch_size, settings.learning_rate, settings.seed],
                "replicas": self._strategy.num_replicas_in_sync,
                "versions": [tf.__version__, keras.__version__],
            }
        )

    def provenance(self) -> Json:
        """Where everything came from, for the record."""
        info, settings = self._info, self._settings
        configured = {name: getattr(settings, name) for name in ("epochs", "batch_size", "learning_rate", "seed")}
        sections = {name: getattr(settings, name) for name in ("head", "training", "augment", "cache")}
        configured |= {name: section.model_dump(mode="json") for name, section in sections.items()}
        return {
            **{name: info[name] for name in ("source", "manifest_digest", "counts")},
            "weights": {name: self._source[name] for name in ("reference", "resolved")},
            "config_digest": digests.of_json({**configured, "plan": self._plan}),
            "versions": {
                "frostline": metadata.version("frostline"),
                "python": platform.python_version(),
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
            },
        }

    def certify(self) -> Json:
        """The freeze certificate of what was trained."""
        state, digest = self.state, self._source["digest"]
        return certificate.certify(self._plan, self._schedule, state.digests, state.slots, source_digest=digest)

    def report(self) -> Json:
        """What training.json tells."""
        return report.make(
            self.state, self._uses, self._feed.report, self._verdicts, self._maker.computed, self._fit.resumed_from,
            self._strategy.num_replicas_in_sync, telemetry.peak_memory(),
        )  # fmt: skip


def _emit(
    model: keras.Model, proof: Json, plan: Json, info: Json, head_config: HeadConfig, provenance: Json, out: Path
) -> None:
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
        "provenance": provenance,
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
