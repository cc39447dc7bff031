"""Builds the features that a run needs and the store does not have yet; featurize and train share it.

A set is the output of the prefix up to one layer, for one variant of the images, in one compute type and storage type.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from frostline.data import examples
from frostline.data.batches import Images
from frostline.data.config import AugmentConfig
from frostline.documents.data import ManifestRow
from frostline.documents.features import FeatureSetRow, MadeFeatures, PrecisionVerdict
from frostline.documents.freeze import FreezePlan, WeightsSource
from frostline.events import Progress, say
from frostline.features import precision, prefix
from frostline.features.cache_plan import PLAIN
from frostline.features.config import CacheConfig
from frostline.features.packs import Writer, names_by_image
from frostline.features.prefix import BFLOAT16, FLOAT32, Planned, Prefix
from frostline.features.sidecars import Layout
from frostline.features.store import evict, root_of
from frostline.features.usage import touch
from frostline.freeze.phases import boundaries
from frostline.model import arithmetic, head, weights
from frostline.model.config import HeadConfig


@dataclass(frozen=True)
class FeatureSet:
    """One set.

    Attributes:
        layer: the boundary.
        view: number of the variant, or PLAIN.
        computed_in: float32 or bfloat16.
        layout: shape and storage type of one image's features.
        address: name of the set's directory in the store.
        packs: names of the packs that contain the wanted images.
    """

    layer: str
    view: int
    computed_in: str
    layout: Layout
    address: str
    packs: tuple[str, ...] = ()

    def document(self) -> FeatureSetRow:
        """As JSON."""
        return {
            "layer": self.layer,
            "view": self.view,
            "computed_in": self.computed_in,
            "layout": self.layout.document(),
            "address": self.address,
            "packs": list(self.packs),
        }

    @classmethod
    def read(cls, row: FeatureSetRow) -> FeatureSet:
        """From JSON."""
        layout = Layout.read(row["layout"])
        return cls(row["layer"], row["view"], row["computed_in"], layout, row["address"], tuple(row["packs"]))


@dataclass(frozen=True)
class ImageRecords:
    """The images, and how those of training are augmented.

    Attributes:
        records: address of the records.
        image_size: stored height and width, in pixels.
        augment: augmentation of training images.
        seed: of the augmentation.
        scratch: directory for files of a bucket.
    """

    records: str
    image_size: int
    augment: AugmentConfig
    seed: int
    scratch: Path

    def source(self, split: str, *, varied: bool, shards: Sequence[str] | None = None) -> Images:
        """The images of one split, with random variants if `varied`; `shards` limits them to some shards."""
        found = examples.load(self.records, split, self.scratch, shards)
        return Images(found, self.image_size, self.augment if varied else AugmentConfig(), self.seed)

    def splits(self, view: int) -> tuple[str, ...]:
        """The splits of a set: variants are of training images, PLAIN is of the splits that are not augmented."""
        if view != PLAIN:
            return ("train",)
        return ("validation",) if self.augment.active else ("train", "validation")

    def sources(self, view: int, shards: Sequence[str] | None = None) -> list[Images]:
        """The images of a set, split by split."""
        return [self.source(split, varied=view != PLAIN, shards=shards) for split in self.splits(view)]


class FeatureBuilder:
    """Computes sets with the current weights of a model."""

    def __init__(
        self,
        store: str,
        model: Callable[[], keras.Model],
        backbone: str,
        images: ImageRecords,
        cache: CacheConfig,
        planned: Mapping[str, Planned] | None = None,
    ) -> None:
        """Take a model whose prefix has not been trained.

        Args:
            store: root of the store, a directory or gs://.
            model: gives a backbone with a head, always the same one.
            backbone: name of the backbone.
            images: the images.
            cache: storage type, precision and limit.
            planned: what is known of prefixes by layer, so that the model is needed only where something is computed.
        """
        self._store, self._model, self._backbone = store, model, backbone
        self.images, self._cache, self._planned = images, cache, planned or {}
        self._functions: dict[tuple[str, str], Prefix] = {}
        self.computed = 0  # images that went through the prefix, once per set

    @classmethod
    def from_source(
        cls, store: str, source: WeightsSource, plan: FreezePlan, images: ImageRecords, cache: CacheConfig
    ) -> FeatureBuilder:
        """A builder with the weights that the plan step saved, which are loaded if something has to be computed."""

        @functools.cache
        def model() -> keras.Model:
            tf.config.experimental.enable_op_determinism()
            return head.attach(weights.load(source), HeadConfig(), 1)

        return cls(store, model, plan["backbone"], images, cache, _planned(plan, source))

    def make(
        self, shards: Sequence[str], wanted: Sequence[tuple[str, int]], manifest: Sequence[ManifestRow]
    ) -> MadeFeatures:
        """Compute what some shards lack of some sets.

        Args:
            shards: their names.
            wanted: layer and view of each set.
            manifest: all images; some are the sample on which the precision is chosen.

        Raises:
            DataError: an image or a record is damaged, or a feature is not finite in the storage type.
            StorageError: the store cannot be read or written.
        """
        layers = dict.fromkeys(layer for layer, _ in wanted)
        verdicts = {layer: self._choose(layer, wanted, manifest) for layer in layers}
        for layer, verdict in verdicts.items() if shards[0].startswith("00000-") else ():  # the same for all
            say(f"the prefix up to {layer} computes in {verdict['computed_in']}: {verdict['reason']}")
        sets, reused = [], 0
        for layer, view in wanted:
            described, function = self.describe(layer, view, verdicts[layer]["computed_in"])
            sources = self.images.sources(view, shards)
            stored = names_by_image(root_of(self._store, described.address), described.layout)
            ids = {one for source in sources for one in source.examples.ids}
            old = {pack for one in ids for pack in stored.get(one, ())}
            new = self.complete(described, function, sources, stored)
            reused += sum(one in stored for one in ids)
            sets.append(dataclasses.replace(described, packs=tuple(sorted({*old, *new}))))
        self.tidy([one.address for one in sets])
        return {
            "sets": [one.document() for one in sets],
            "verdicts": verdicts,
            "computed": self.computed,
            "reused": reused,
        }

    def _choose(
        self, layer: str, wanted: Sequence[tuple[str, int]], manifest: Sequence[ManifestRow]
    ) -> PrecisionVerdict:
        full, low = self._function(layer, FLOAT32), self._function(layer, BFLOAT16)
        splits = [split for place, view in wanted if place == layer for split in self.images.splits(view)]
        passes = sum(splits.count(row["split"]) for row in manifest)
        return precision.choose(self._store, full, low, self._cache, manifest, self.images.image_size, passes)

    def _function(self, layer: str, computed_in: str) -> Prefix:
        """The prefix, kept because folding and tracing it take seconds."""
        if (layer, computed_in) not in self._functions:
            if computed_in == BFLOAT16:
                self._functions[layer, computed_in] = self._function(layer, FLOAT32).lowered()
            else:
                self._functions[layer, computed_in] = Prefix(
                    self._model, self._backbone, layer, self._planned.get(layer)
                )
        return self._functions[layer, computed_in]

    def describe(self, layer: str, view: int, computed_in: str) -> tuple[FeatureSet, Prefix]:
        """A set without packs, and the function that computes it."""
        function = self._function(layer, computed_in)
        varied = {} if view == PLAIN else prefix.view_description(self.images.augment, self.images.seed, view)
        address = prefix.address(function.digest, computed_in, self._cache.dtype, varied)
        return FeatureSet(layer, view, computed_in, Layout(function.shape, self._cache.dtype), address), function

    def complete(
        self, wanted: FeatureSet, function: Prefix, sources: Iterable[Images], have: Iterable[str]
    ) -> list[str]:
        """Compute and store the features of the images that are not in `have`, and close the sources.

        Returns:
            Names of the new packs.

        Raises:
            DataError: a record is damaged, or a feature is not finite in the storage type.
            StorageError: a pack cannot be written.
        """
        done, todo = set(have), []
        for source in sources:
            missing = [position for position, one in enumerate(source.examples.ids) if one not in done]
            done.update(source.examples.ids)
            todo.append((source, np.array(missing, np.int64)))
        with (
            Writer(root_of(self._store, wanted.address), wanted.layout, computed_on=arithmetic.device_kind()) as writer,
            Progress(sum(len(positions) for _, positions in todo), "images") as progress,
        ):
            for source, positions in todo:
                counts = prefix.fill(function, source, positions, max(wanted.view, 0), writer, wanted.layout)
                with contextlib.closing(counts):  # before the writer is
                    for count in counts:
                        progress.advance(count)
                source.examples.close()
        self.computed += sum(len(positions) for _, positions in todo)
        return list(writer.packs)

    def tidy(self, in_use: Sequence[str]) -> None:
        """Mark these addresses as used, and remove the least recently used others until all fit the limit."""
        for address in dict.fromkeys(in_use):
            touch(root_of(self._store, address))
        evict(self._store, self._cache.limit_bytes, in_use)


def _planned(plan: FreezePlan, source: WeightsSource) -> dict[str, Planned]:
    """What plan knew of the prefixes, by layer; nothing if an earlier version made the plan."""
    known = source.get("prefixes", {})
    return {
        one["layer"]: Planned(known[one["layer"]], tuple(one["shape"]))
        for one in boundaries(plan)
        if one and one["layer"] in known
    }


def prefix_digests(model: keras.Model, plan: FreezePlan) -> dict[str, str]:
    """The digest of the prefix up to each boundary of a plan, by layer; `model` is the backbone."""
    whole = head.attach(model, HeadConfig(), 1)
    layers = {one["layer"] for one in boundaries(plan) if one}
    return {layer: Prefix(lambda: whole, plan["backbone"], layer).digest for layer in sorted(layers)}
