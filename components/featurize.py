"""featurize: compute a shard's features of the frozen prefix, once, before training."""

from kfp import dsl


@dsl.component(base_image="frostline:0.1.0", install_kfp_package=False)
def featurize(
    dataset: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Artifact],
    freeze_plan: dsl.Input[dsl.Artifact],
    backbone_weights: dsl.Input[dsl.Artifact],
    epochs: int,
    seed: int,
    augment: dict,
    cache: dict,
    store: str,
    features: dsl.Output[dsl.Artifact],
):
    """Compute and store the features that the shard lacks, if caching them pays.

    Args:
        dataset: the manifest.
        examples: what preprocess wrote for the shard.
        freeze_plan: the freeze plan.
        backbone_weights: the weights of the prefix.
        epochs: passes over the training split in the first phase.
        seed: of the augmentation.
        augment: augmentation of training images.
        cache: caching of the frozen prefix's features.
        store: root of the store, a directory or gs://.
        features: features.json: what was decided, and the packs with the shard's features.
    """
    from frostline import featurize as stage

    stage.run(
        dataset=dataset.path, examples=examples.path, freeze_plan=freeze_plan.path, epochs=epochs, seed=seed,
        backbone_weights=backbone_weights.path, augment=augment, cache=cache, store=store, features=features.path,
    )  # fmt: skip
