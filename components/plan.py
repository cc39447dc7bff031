"""plan: resolve the weights and the freeze policy before any expensive step."""

from kfp import dsl


@dsl.component(base_image="frostline:0.1.0", install_kfp_package=False)
def plan(
    backbone: str,
    weights: str,
    image_size: int,
    seed: int,
    freeze: dict,
    store: str,
    registry: str,
    freeze_plan: dsl.Output[dsl.Artifact],
    backbone_weights: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
):
    """Resolve the backbone's weights and the freeze policy, and show the plan as a page.

    Args:
        backbone: a keras.applications model by name, SmallConvNet, or a .keras file.
        weights: imagenet, random, own (those of a .keras backbone), a weights file, or a registry reference.
        image_size: height and width of the model's input, in pixels.
        seed: seed of random weights.
        freeze: the freeze section of the configuration.
        store: root of the store, a directory or gs://.
        registry: root of the model registry.
        freeze_plan: freeze_plan.json: for every layer whether it is frozen, and the rule that decided it.
        backbone_weights: source.json: what the weights resolved to, their digest and address; images.parquet: the
            images that a version from the registry was made with.
        page: the plan as a page.
    """
    from frostline import plan as stage

    stage.run(
        backbone=backbone, weights=weights, image_size=image_size, seed=seed, freeze=freeze, store=store,
        registry=registry, freeze_plan=freeze_plan.path, backbone_weights=backbone_weights.path, page=page.path,
    )  # fmt: skip
