"""The featurize stage: one shard's images go through the frozen prefix, once, before training.

Shards need nothing of one another, so this share of the work spreads over pods. Only what no run has computed yet is
computed; what is there is found by its address.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from frostline import artifacts
from frostline.artifacts import Json
from frostline.data.config import AugmentConfig
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

    Without a frozen prefix, or where keeping it does not pay, there is nothing to do, and TensorFlow is not imported.

    Raises:
        ConfigError: the cache is required, and there can be none.
        WeightsError, DataError, StorageError: what was handed over cannot be used.
    """
    cache_config = parse(CacheConfig, cache, field="cache")
    augment_config = parse(AugmentConfig, augment, field="augment")
    plan = artifacts.read_json(Path(freeze_plan) / "freeze_plan.json", "freeze_plan")
    shard = artifacts.read_json(Path(examples) / "shard.json", "shard")
    manifest = list(artifacts.read_jsonl(Path(dataset) / "manifest.jsonl"))
    totals = Counter(row["split"] for row in manifest)
    schedule = phases(plan, epochs, 1.0)
    uses = cache_plan.decide(plan, schedule, totals, cache_config, augment_config)
    for use in uses if shard["shard"].startswith("00000-") else ():
        say(f"phase {use.phase}: {use.reason}")
    made: Json = {"sets": [], "verdicts": {}, "computed": 0, "reused": 0}
    wanted = cache_plan.needed(uses, schedule, augment_config)
    if wanted:
        from frostline.features import builder

        source = artifacts.read_json(Path(backbone_weights) / "source.json", "weights")
        with tempfile.TemporaryDirectory() as scratch:
            images = builder.ImageRecords(shard["records"], plan["image_size"], augment_config, seed, Path(scratch))
            maker = builder.FeatureBuilder.from_source(store, source, plan, images, cache_config)
            made = maker.make_shard(shard["shard"], wanted, manifest)
        say(
            f"shard {shard['shard']}: {made['computed']} images went through the prefix, "
            f"{made['reused']} were found in the store"
        )
    decided = [dataclasses.asdict(use) for use in uses]
    artifacts.write_json(Path(features) / "features.json", "features", {"uses": decided, **made})
