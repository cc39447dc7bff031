"""The inputs of each phase: images, or cached features; features that are missing are computed here."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frostline import digests
from frostline.data.batches import BatchSource, Images
from frostline.documents.features import Features as FeaturesDocument
from frostline.documents.training import CachedSet
from frostline.errors import DataError
from frostline.events import say
from frostline.features.builder import FeatureBuilder, FeatureSet
from frostline.features.cache_plan import PLAIN, Use, views_of_run
from frostline.features.packs import Reader
from frostline.features.prefix import FLOAT32
from frostline.features.source import Features
from frostline.features.store import root_of
from frostline.features.usage import touch
from frostline.freeze.phases import Phase

_ATTEMPTS = 3  # to compute and read what other runs may evict in between


@dataclass(frozen=True)
class PhaseSources:
    """Images or features of one phase; `views` variants of each training image are used in turn, one per epoch."""

    train: BatchSource
    validation: BatchSource
    views: int


def gather(documents: Sequence[FeaturesDocument]) -> tuple[list[Use], list[FeatureSet]]:
    """Merge what the featurize step of every shard decided and computed.

    Raises:
        DataError: the shards decided differently, or there is none.
    """
    decisions = [document["uses"] for document in documents]
    if not decisions or any(decision != decisions[0] for decision in decisions):
        raise DataError("features.json: the shards disagree, or there is none; run featurize again")
    merged: dict[tuple[str, int], FeatureSet] = {}
    for one in (FeatureSet.read(document) for part in documents for document in part["sets"]):
        known = merged.setdefault((one.layer, one.view), one)
        if known.address == one.address:  # else another pod chose another precision: its features are computed again
            merged[one.layer, one.view] = dataclasses.replace(known, packs=tuple(sorted({*known.packs, *one.packs})))
    return [Use(**use) for use in decisions[0]], list(merged.values())


class Feed(contextlib.ExitStack):
    """Open features and images; a context manager that closes them."""

    def __init__(self, store: str, builder: FeatureBuilder, scratch: Path) -> None:
        """Take the builder of missing features, and a directory for files of a bucket."""
        super().__init__()
        self._store, self._builder, self._scratch = store, builder, scratch
        self._open: dict[tuple[str, int], tuple[FeatureSet, Reader]] = {}
        self.report: list[CachedSet] = []

    def open(self, sets: Sequence[FeatureSet], *, float32: bool) -> None:
        """Open sets and compute what is missing or damaged; `float32` replaces sets of lower precision."""
        for wanted in sets:
            computed_in = FLOAT32 if float32 else wanted.computed_in
            described, function = self._builder.describe(wanted.layer, wanted.view, computed_in)
            packs = wanted.packs if described.address == wanted.address else ()
            root = root_of(self._store, described.address)
            scratch = self._scratch / described.address  # packs of two sets may have one name
            sources = self._builder.images.sources(wanted.view)
            ids = {one for source in sources for one in source.examples.ids}
            touch(root)  # before anything is read, so that no eviction takes it for unused
            reader = self.enter_context(Reader(root, packs, described.layout, scratch))
            damaged, computed = reader.damaged, 0
            for _ in range(_ATTEMPTS):
                missing = ids - reader.ids.keys()
                if not missing:
                    break
                say(f"features at {wanted.layer}: computing {len(missing)} images that are missing or damaged")
                computed += len(missing)
                new = self._builder.complete(described, function, sources, reader.ids)
                reader.add(new)  # which another run may have evicted by now
                packs = (*packs, *new)
            if not ids <= reader.ids.keys():
                raise DataError(f"{root}: features were removed {_ATTEMPTS} times before they could be read")
            described = dataclasses.replace(described, packs=packs)
            self._open[wanted.layer, wanted.view] = described, reader
            self.report.append(
                {
                    "layer": wanted.layer,
                    "view": wanted.view,
                    "address": described.address,
                    "computed_in": computed_in,
                    "dtype": described.layout.dtype,
                    "images": len(ids),
                    "bytes": len(ids) * described.layout.row_bytes,
                    "computed": computed,
                    "damaged": damaged,
                }
            )
        if sets:
            self._builder.tidy([described.address for described, _ in self._open.values()])

    @property
    def digest(self) -> str:
        """Digest of all cached rows that training reads."""
        rows = {f"{layer}/{view}": reader.digest for (layer, view), (_, reader) in self._open.items()}
        return digests.of_json(rows)

    def sources(self, uses: Sequence[Use], schedule: Sequence[Phase]) -> list[PhaseSources]:
        """Images or features of each phase."""
        images = self._builder.images
        views = views_of_run(schedule, images.augment)
        return [
            PhaseSources(self._source("train", use.layer, views), self._source("validation", use.layer, 1), views)
            for use in uses
        ]

    def exact(self, layer: str) -> bool:
        """Whether all features at a layer were computed in float32 and are stored in it."""
        found = [one for (name, _), (one, _) in self._open.items() if name == layer]
        return all(one.computed_in == one.layout.dtype == FLOAT32 for one in found)

    def images(self, split: str, *, varied: bool) -> Images:
        """The images of a split, with random variants if `varied`."""
        found = self._builder.images.source(split, varied=varied)
        self.callback(found.examples.close)
        return found

    def _source(self, split: str, layer: str, views: int) -> BatchSource:
        varied = split == "train" and self._builder.images.augment.active
        images = self.images(split, varied=varied)
        if not layer:
            return images
        readers = {
            view: self._open[key][1]
            for view in range(views)
            if (key := (layer, view if varied else PLAIN)) in self._open
        }
        return Features(images.examples, readers, self._open[layer, PLAIN][0].layout, layer)
