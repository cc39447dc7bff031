"""train: fine-tune under MirroredStrategy, certify what stayed frozen, export for serving."""

from kfp import dsl


def train(
    info: dsl.Input[dsl.Dataset], freeze_plan: dsl.Input[dsl.Artifact], shares: dsl.Input[list[dsl.Artifact]],
    head: dict, training: dict, augment: dict, cache: dict, epochs: int, batch_size: int, learning_rate: float,
    seed: int, store: str, image: str, model: dsl.Output[dsl.Model], record: dsl.Output[dsl.Artifact],
    logs: dsl.Output[dsl.Artifact],
):  # fmt: skip
    """Fine-tune the backbone and a new head; emit no model if a frozen weight changed."""
    from frostline import attempts

    attempts.run(
        "train", info=info.path, freeze_plan=freeze_plan.path, backbone_weights=freeze_plan.path, image=image,
        features=[share.path for share in shares], head=head, training=training, augment=augment, cache=cache,
        epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed, store=store,
        model=model.path, record=record.path, logs=logs.path,
    )  # fmt: skip
