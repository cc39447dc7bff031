"""The prepare stage: a worker's share of the images as records, and as features of the frozen prefix if that pays."""

from __future__ import annotations

from typing import Any

from frostline.config import checked
from frostline.data import shards as shard_files
from frostline.events import step


@step("prepare")
def run(
    *,
    dataset: str,
    worker: str,
    image_size: int,
    freeze_plan: str,
    backbone_weights: str,
    epochs: int,
    seed: int,
    augment: dict[str, Any],
    cache: dict[str, Any],
    store: str,
    examples: str,
    features: str,
) -> None:
    """Write records, then features; whatever an earlier run finished is found in the store.

    Args:
        dataset: directory of the manifest.
        worker: name of the worker, `WWWWW-of-NNNNN`: it takes every Nth shard.
        image_size: stored height and width, in pixels.
        freeze_plan, backbone_weights: directories that plan wrote.
        epochs: passes over the training split in the first phase.
        seed: of the augmentation.
        augment, cache: sections of the configuration.
        store: root of the store, a directory or gs://.
        examples, features: directories to create, with the documents of this share.

    Raises:
        ConfigError: a parameter is wrong, or the cache is required but impossible.
        DataError: an image's bytes are no longer those of the manifest, or a feature is not finite.
        WeightsError: the backbone cannot be loaded.
        StorageError: the source cannot be read, or the store cannot be written.
    """
    parameters = checked(image_size=image_size, epochs=epochs, seed=seed, augment=augment, cache=cache, store=store)
    shard_files.parse_name(worker, field="worker")
    from frostline.data import preprocess
    from frostline.features import featurize

    preprocess.run(dataset=dataset, worker=worker, image_size=parameters.image_size, store=store, examples=examples)
    featurize.run(
        dataset=dataset,
        examples=examples,
        freeze_plan=freeze_plan,
        backbone_weights=backbone_weights,
        epochs=parameters.epochs,
        seed=parameters.seed,
        augment=augment,
        cache=cache,
        store=store,
        features=features,
    )
