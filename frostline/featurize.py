"""The featurize stage: compute a shard's features of the frozen prefix, once, before training.

Shards are independent of each other, so this work spreads over pods. Only features that no run has computed yet are
computed; the others are found by their address.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from frostline.data.config import AugmentConfig
from frostline.documents.data import MANIFEST, SHARD
from frostline.documents.features import FEATURES, MadeFeatures
from frostline.documents.freeze import FREEZE_PLAN, WEIGHTS_SOURCE
from frostline.events import say, step
from frostline.features import cache_plan
from frostline.features.config import CacheConfig
from frostline.freeze.phases import phases
from frostline.section import parse


@step("featurize")
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
    """Compute and store the features that this shard lacks; write features.json, which names all of its packs.

    If there is no frozen prefix, or caching does not pay, nothing is computed and TensorFlow is not imported.

    Args:
        dataset: directory of the manifest.
        examples: directory that preprocess wrote for the shard.
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
    plan, shard = FREEZE_PLAN.read(Path(freeze_plan)), SHARD.read(Path(examples))
    manifest = MANIFEST.read(Path(dataset))
    totals = Counter[str](row["split"] for row in manifest)
    schedule = phases(plan, epochs, 1.0)
    uses = cache_plan.decide(plan, schedule, totals, cache_config, augment_config)
    for use in uses if shard["shard"].startswith("00000-") else ():  # the same in every shard
        say(f"phase {use.phase}: {use.reason}")
    made: MadeFeatures = {"sets": [], "verdicts": {}, "computed": 0, "reused": 0}
    wanted = cache_plan.needed(uses, schedule, augment_config)
    if wanted:
        from frostline.features.builder import FeatureBuilder, ImageRecords

        source = WEIGHTS_SOURCE.read(Path(backbone_weights))
        with tempfile.TemporaryDirectory() as scratch:
            images = ImageRecords(shard["records"], plan["image_size"], augment_config, seed, Path(scratch))
            builder = FeatureBuilder.from_source(store, source, plan, images, cache_config)
            made = builder.make_shard(shard["shard"], wanted, manifest)
        say(
            f"shard {shard['shard']}: {made['computed']} images went through the prefix, {made['reused']} were found "
            "in the store"
        )
    FEATURES.write(
        Path(features),
        {
            "uses": [use.document() for use in uses],
            "sets": made["sets"],
            "verdicts": made["verdicts"],
            "computed": made["computed"],
            "reused": made["reused"],
        },
    )
