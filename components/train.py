"""train: fine-tune under MirroredStrategy, certify what stayed frozen, export for serving."""

from kfp import dsl


@dsl.component(base_image="frostline:0.1.0", install_kfp_package=False)
def train(
    info: dsl.Input[dsl.Dataset], freeze_plan: dsl.Input[dsl.Artifact], backbone_weights: dsl.Input[dsl.Artifact],
    features: dsl.Input[list[dsl.Artifact]], head: dict, training: dict, augment: dict, cache: dict,
    epochs: int, batch_size: int, learning_rate: float, seed: int, store: str, image: str,
    model: dsl.Output[dsl.Model], logs: dsl.Output[dsl.Artifact],
):  # fmt: skip
    """Fine-tune the backbone and a new head; emit no model if a frozen weight changed.

    Args:
        info: the validated dataset.
        freeze_plan: the freeze plan.
        backbone_weights: the weights that training starts from.
        features: of each shard, the cached features of the frozen prefix.
        head: hidden layers and dropout.
        training: optimizer, schedule, loss, early stopping, checkpoints.
        augment: augmentation of training images.
        cache: caching of the frozen prefix's features.
        epochs: passes over the training split in the first phase.
        batch_size: images per step, over all replicas.
        learning_rate: step size of the first phase.
        seed: of the head, shuffling, dropout and augmentation.
        store: root of the store, also for checkpoints.
        image: the container image, for the record.
        model: model.keras, serving/, the freeze plan and certificate, training.jsonl, training.json, model.json.
        logs: scalars for TensorBoard.
    """
    from frostline import train as stage

    stage.run(
        info=info.path, freeze_plan=freeze_plan.path, backbone_weights=backbone_weights.path, image=image,
        features=[one.path for one in features], head=head, training=training, augment=augment, cache=cache,
        epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed, store=store,
        model=model.path, logs=logs.path,
    )  # fmt: skip
