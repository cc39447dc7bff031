"""Compute the features of the frozen prefix for a worker's shards, once, before training.

Shares are independent of each other, so this work spreads over pods. Only features that no run has computed yet are
computed; the others are found by their address.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from frostline.data.config import AugmentConfig
from frostline.documents.data import INDEX, MANIFEST, SHARE
from frostline.documents.features import FEATURES, MadeFeatures
from frostline.documents.freeze import FREEZE_PLAN, WEIGHTS_SOURCE
from frostline.events import say
from frostline.features import cache_plan, sample
from frostline.features.config import CacheConfig
from frostline.freeze.phases import phases
from frostline.section import parse


def run(
    *,
    dataset: str,
    examples: str,
    freeze_plan: str,
    backbone_weights: str,
    epochs: int,
    seed: int,
    augment: dict[str, Any],
    cache: dict[str, Any],
    store: str,
    features: str,
) -> None:
    """Compute and store the features that this share lacks; write features.json, which names all of its packs.

    It also names a few images of this share that training proves, see `frostline.features.sample`.

    If there is no frozen prefix, or caching does not pay, nothing is computed and TensorFlow is not imported.

    Args:
        dataset: directory of the manifest.
        examples: directory that `frostline.data.preprocess` wrote for the worker.
        freeze_plan, backbone_weights: directories that plan wrote.
        epochs: passes over the training split in the first phase.
        seed: of the augmentation.
        augment, cache: sections of the configuration.
        store: root of the store, a directory or gs://.
        features: directory to create.

    Raises:
        ConfigError: the cache is required but impossible.
        WeightsError, DataError, StorageError: the inputs cannot be used.
    """
    cache_config = parse(CacheConfig, cache, field="cache")
    augment_config = parse(AugmentConfig, augment, field="augment")
    plan, share = FREEZE_PLAN.read(Path(freeze_plan)), SHARE.read(Path(examples))
    manifest = MANIFEST.read(Path(dataset))
    totals = Counter[str](row["split"] for row in manifest)
    schedule = phases(plan, epochs, 1.0)
    uses = cache_plan.decide(plan, schedule, totals, cache_config, augment_config)
    for use in uses if share["worker"].startswith("00000-") else ():  # the same in every share
        say(f"phase {use.phase}: {use.reason}")
    made: MadeFeatures = {"sets": [], "verdicts": {}, "computed": 0, "reused": 0}
    wanted = cache_plan.needed(uses, schedule, augment_config)
    if wanted:
        from frostline.features.builder import FeatureBuilder, ImageRecords

        source = WEIGHTS_SOURCE.read(Path(backbone_weights))
        with tempfile.TemporaryDirectory() as scratch:
            images = ImageRecords(share["records"], plan["image_size"], augment_config, seed, Path(scratch))
            builder = FeatureBuilder.from_source(store, source, plan, images, cache_config)
            made = builder.make(share["shards"], wanted, manifest)
        say(
            f"worker {share['worker']}: {made['computed']} images went through the prefix, {made['reused']} were found "
            "in the store"
        )
    readable = {row["id"] for row in INDEX.read(Path(examples))}
    FEATURES.write(
        Path(features),
        {
            "uses": [use.document() for use in uses],
            "sets": made["sets"],
            "verdicts": made["verdicts"],
            "computed": made["computed"],
            "reused": made["reused"],
            "sample": sample.choose((row for row in manifest if row["id"] in readable), seed),
        },
    )
