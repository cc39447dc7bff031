"""A training session: from the planned weights to the last step, on cached features where the shards computed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import keras
import tensorflow as tf

from frostline import digests
from frostline.data.batches import Images
from frostline.data.config import AugmentConfig
from frostline.documents.data import DatasetInfo
from frostline.documents.features import FEATURES
from frostline.documents.features import Features as FeaturesDocument
from frostline.documents.freeze import Comparison, FreezePlan, WeightsSource
from frostline.documents.training import Equivalence, TrainingReport
from frostline.errors import ConfigError, DataError, FeaturesDisagree
from frostline.events import say
from frostline.features import equivalence, originals, precision, prefix, sample
from frostline.features.builder import FeatureBuilder, ImageRecords
from frostline.features.originals import Originals
from frostline.features.source import Features
from frostline.freeze import certificate
from frostline.freeze.phases import phases
from frostline.model import arithmetic, head, weights
from frostline.training import feed, loop, report, strategy, telemetry
from frostline.training.checkpoint import Checkpoints, place
from frostline.training.config import SessionSettings
from frostline.training.feed import Feed, PhaseSources
from frostline.training.fit import Fit
from frostline.training.preemption import stop_requested
from frostline.training.state import Saver, State, Subject


@dataclass(frozen=True)
class Inputs:
    """What the steps before training wrote.

    Attributes:
        info: the dataset.
        plan: the freeze plan.
        source: the weights that training starts from.
        features: of each shard, what was decided about the cache, and its features.
    """

    info: DatasetInfo
    plan: FreezePlan
    source: WeightsSource
    features: Sequence[FeaturesDocument]


class Session:
    """One training. After `run`: `model`, `state`, `image_ids` (by split), `fingerprint` and `checkpoints`."""

    def __init__(self, settings: SessionSettings, inputs: Inputs, scratch: Path, scalars: telemetry.Scalars) -> None:
        """Check what goes together; nothing is loaded yet.

        Args:
            settings: of the training.
            inputs: documents of the steps before.
            scratch: for files of a bucket.
            scalars: takes every epoch's row.

        Raises:
            ConfigError, DataError: the features were made for another plan.
        """
        self._settings, self._inputs, self._scratch, self._scalars = settings, inputs, scratch, scalars
        self._schedule = phases(inputs.plan, settings.epochs, settings.learning_rate)
        self._uses, self._sets = feed.gather(inputs.features)
        self._verdicts = {layer: one for part in inputs.features for layer, one in part["verdicts"].items()}
        if len(self._uses) != len(self._schedule):
            raise ConfigError(FEATURES.file, len(self._uses), f"the plan has {len(self._schedule)} phases")
        self.model: keras.Model
        self.state: State
        self.fingerprint: str
        self.checkpoints: Checkpoints

    def run(self) -> None:
        """Train; if features in bfloat16 turn out not to be equivalent to the model, train again on float32 features.

        Raises:
            FeaturesDisagree: cached float32 features are not equivalent to the model.
            NonFiniteLoss, Preempted, ConfigError, DataError, WeightsError, StorageError: as `PhaseRun.epochs`.
        """
        epochs = [phase.epochs for phase in self._schedule]
        images = self._inputs.info["splits"]["train"]
        self._settings.training.require_warm_up_fits(images, self._settings.batch_size, epochs)
        try:
            self._train(float32=False)
        except FeaturesDisagree as error:
            lowered = {layer: one for layer, one in self._verdicts.items() if one["computed_in"] != prefix.FLOAT32}
            if not lowered:
                raise
            say(f"{error}; computing the prefix in float32 instead and starting training again")
            self.checkpoints.clear()
            for layer, verdict in lowered.items():
                self._verdicts[layer] = precision.withdraw(verdict, f"after training: {error}")
            self._train(float32=True)

    def _train(self, *, float32: bool) -> None:
        settings, info = self._settings, self._inputs.info
        self._strategy = strategy.mirrored()
        subject = self._build()
        images = ImageRecords(info["records"], info["image_size"], settings.augment, settings.seed, self._scratch)
        builder = FeatureBuilder(
            settings.store, lambda: self.model, self._inputs.plan["backbone"], images, settings.cache
        )
        with Feed(settings.store, builder, self._scratch) as self._feed, stop_requested() as stopping:
            self._feed.open(self._sets, float32=float32)
            sources = self._feed.sources(self._uses, self._schedule)
            self.fingerprint = self._digest(sources)
            self.checkpoints = Checkpoints(place(settings.store, self.fingerprint))
            self._require_complete(sources[0])
            self._originals = self._read_originals()
            self.image_ids = {
                "train": sources[0].train.examples.ids,
                "validation": sources[0].validation.examples.ids,
            }
            say(f"{len(sources[0].train.examples)} images, {self._strategy.num_replicas_in_sync} replica(s)")
            steps = loop.StepSettings(
                self._inputs.plan["backbone"], settings.training, settings.batch_size, settings.seed
            )
            with Saver(self.checkpoints, settings.training.checkpoint_seconds, stopping) as saver:
                fit = Fit(subject, sources, steps, self._strategy, saver)
                for row in fit.state.history:  # of earlier attempts
                    self._scalars.write(row)
                for phase in fit.phases():
                    for row in phase.epochs():
                        self._scalars.write(row)
                        fit.describe(row)
                    phase.finish(self._check_equivalence(phase.sources))
        self.state, self._resumed_from, self._computed = fit.state, fit.resumed_from, builder.computed

    def _build(self) -> Subject:
        """The backbone with the planned weights, and a new head, in the strategy's scope."""
        settings, plan = self._settings, self._inputs.plan
        keras.utils.set_random_seed(settings.seed)
        tf.config.experimental.enable_op_determinism()
        with self._strategy.scope():
            backbone = weights.load(self._inputs.source)
            keras.utils.set_random_seed(settings.seed)  # the head must not depend on how the backbone was built
            self.model = head.attach(backbone, settings.head, len(self._inputs.info["labels"]))
        return Subject(self.model, backbone.layers, plan, self._schedule)

    def _require_complete(self, sources: PhaseSources) -> None:
        info = self._inputs.info
        for split, source in (("train", sources.train), ("validation", sources.validation)):
            found, expected = len(source.examples), info["splits"][split]
            if found != expected:
                raise DataError(f"{split}: {info['records']} has {found} examples; the dataset has {expected}")
            if source.examples.digest != info.get("split_digests", {}).get(split, source.examples.digest):
                raise DataError(
                    f"{split}: {info['records']} has other images or labels than the dataset; run the pipeline again"
                )

    def _check_equivalence(self, sources: PhaseSources) -> Equivalence | None:
        """Compare what a phase was trained on with the original bytes of a few images of each split.

        Features are compared with the whole model, records with the pixels.
        """
        found = {"validation": sources.validation, "train": sources.train}
        samples = []
        for split, source in found.items():
            if isinstance(source, Features) and len(source.examples):
                samples.append(equivalence.take(source, self._images_again(split)))
            elif split in self._originals:
                originals.require_same(source.examples, self._originals[split], self._inputs.info["image_size"])
        if not samples:
            return None
        exact = self._feed.exact(samples[0].layer)
        return equivalence.require_equivalent(self.model, self._inputs.plan["backbone"], samples, exact)

    def _images_again(self, split: str) -> Images:
        """A few images from their original bytes; from records, where an earlier version chose none."""
        augment, size = self._settings.augment, self._inputs.info["image_size"]
        varied = split == "train" and augment.active
        if split not in self._originals:
            return self._feed.images(split, varied=varied)
        return Images(self._originals[split], size, augment if varied else AugmentConfig(), self._settings.seed)

    def _read_originals(self) -> dict[str, Originals]:
        """A few images of each split, read before the training because an image may have changed since."""
        chosen = sample.of_run(self._inputs.features, self._settings.seed)
        by_split = {split: [row for row in chosen if row["split"] == split] for split in sample.SPLITS}
        return {
            split: originals.read(rows, self._inputs.info["image_size"]) for split, rows in by_split.items() if rows
        }

    def _digest(self, sources: Sequence[PhaseSources]) -> str:
        """Digest of everything that the trained bits depend on: only the same training resumes from a checkpoint."""
        settings, inputs = self._settings, self._inputs
        return digests.of_json(
            {
                "data": inputs.info["dataset_digest"],
                "examples": [digests.of_json(list(part.train.examples.ids)) for part in sources],
                "plan": inputs.plan,
                "weights": [inputs.source["digest"], inputs.source.get("graph")],
                "features": self._feed.digest,
                "entries": [part.train.layer for part in sources],
                "head": settings.head.model_dump(mode="json"),
                "training": settings.training.model_dump(mode="json", exclude={"checkpoint_seconds"}),
                "augment": settings.augment.model_dump(mode="json"),
                "numbers": [settings.epochs, settings.batch_size, settings.learning_rate, settings.seed],
                "replicas": self._strategy.num_replicas_in_sync,
                "device": arithmetic.device_kind(),
                "versions": [tf.__version__, keras.__version__, metadata.version("frostline")],
            }
        )

    def compare(self) -> Comparison:
        """The backbone before and after every phase, held against the plan."""
        state, digest = self.state, self._inputs.source["digest"]
        plan = self._inputs.plan
        compared = certificate.certify(plan, self._schedule, state.digests, state.slots, source_digest=digest)
        if "graph" in self._inputs.source:
            compared["graph_digest"] = self._inputs.source["graph"]
        return compared

    def report(self) -> TrainingReport:
        """The content of training.json."""
        return report.make(
            self.state,
            self._uses,
            self._feed.report,
            self._verdicts,
            fingerprint=self.fingerprint,
            computed=self._computed,
            resumed_from=self._resumed_from,
            replicas=self._strategy.num_replicas_in_sync,
            memory=telemetry.peak_memory(),
        )
