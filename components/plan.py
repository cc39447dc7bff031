"""plan: check every parameter, and resolve the weights and the freeze policy, before any expensive step."""

from kfp import dsl


def plan(
    model_name: str, source: str, backbone: str, weights: str, image_size: int, epochs: int, batch_size: int,
    learning_rate: float, seed: int, shards: int, workers: int, store: str, registry: str, image: str, cpu: str,
    memory: str, train_cpu: str, train_memory: str, accelerator_type: str, accelerator_count: str,
    node_selector: dict, tolerations: list, data: dict, freeze: dict, head: dict, training: dict, augment: dict,
    cache: dict, gate: dict, signing: dict,
    freeze_plan: dsl.Output[dsl.Artifact], freeze_plan_page: dsl.Output[dsl.HTML],
):  # fmt: skip
    """Check every parameter, and resolve the weights and the freeze policy."""
    parameters = {name: value for name, value in locals().items() if not isinstance(value, dsl.Artifact)}

    from frostline import attempts

    attempts.run(
        "plan", parameters=parameters, freeze_plan=freeze_plan.path, backbone_weights=freeze_plan.path,
        page=freeze_plan_page.path,
    )  # fmt: skip
