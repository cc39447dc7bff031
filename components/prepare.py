"""prepare: a worker's share of the images as TFRecords, and as features of the frozen prefix if that pays."""

from kfp import dsl


def prepare(
    dataset: dsl.Input[dsl.Dataset], worker: str, image_size: int, freeze_plan: dsl.Input[dsl.Artifact], epochs: int,
    seed: int, augment: dict, cache: dict, store: str, share: dsl.Output[dsl.Artifact],
):  # fmt: skip
    """Write records, then features of the frozen prefix."""
    from frostline import attempts

    attempts.run(
        "prepare", dataset=dataset.path, worker=worker, image_size=image_size, freeze_plan=freeze_plan.path,
        backbone_weights=freeze_plan.path, epochs=epochs, seed=seed, augment=augment, cache=cache, store=store,
        examples=share.path, features=share.path,
    )  # fmt: skip
