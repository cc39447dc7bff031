"""train: fine-tune under MirroredStrategy, prove what stayed frozen, export for serving."""

from kfp import dsl


@dsl.component(base_image="frostline:0.1.0", install_kfp_package=False)
def train(
    info: dsl.Input[dsl.Dataset],
    freeze_plan: dsl.Input[dsl.Artifact],
    backbone_weights: dsl.Input[dsl.Artifact],
    head: dict,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    model: dsl.Output[dsl.Model],
):
    """Fine-tune the backbone and a new head; emit no model if a frozen weight moved.

    Args:
        info: the validated dataset.
        freeze_plan: which layers are frozen.
        backbone_weights: what training starts from.
        head: hidden layers and dropout.
        epochs: passes over the training split.
        batch_size: images a step, over all replicas.
        learning_rate: Adam's step size.
        seed: seed of the head, shuffling and dropout.
        model: model.keras, serving/, freeze_plan.json, freeze_certificate.json, training.jsonl, model.json.
    """
    from frostline import train as stage

    settings = (epochs, batch_size, learning_rate, seed)
    stage.run(info.path, freeze_plan.path, backbone_weights.path, head, *settings, model.path)
