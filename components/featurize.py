"""featurize: one shard's images go through the frozen prefix, once, before training."""

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
    """Compute and store the features that the shard lacks, where keeping them pays.

    Args:
        dataset: the manifest.
        examples: what preprocess wrote of the shard.
        freeze_plan: which layers are frozen, and up to where nothing moves.
        backbone_weights: what the prefix computes with.
        epochs: passes over the training split in the first phase.
        seed: seed of the variants of training images.
        augment: how training images are varied.
        cache: what is kept of the frozen prefix.
        store: root of the heavy bytes.
        features: features.json: what was decided, and which packs hold the shard's features.
    """
    from frostline import featurize as stage

    stage.run(
        dataset=dataset.path, examples=examples.path, freeze_plan=freeze_plan.path, epochs=epochs, seed=seed,
        backbone_weights=backbone_weights.path, augment=augment, cache=cache, store=store, features=features.path,
    )  # fmt: skip
