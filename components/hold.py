"""hold: the champion stays in production, and the reason is recorded."""

from kfp import dsl


@dsl.component(base_image="frostline:0.1.0", install_kfp_package=False)
def hold(
    decision: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    model_name: str,
    registry: str,
    held: dsl.Output[dsl.Artifact],
) -> str:
    """Record that the model was not pushed, in the registry too.

    Args:
        decision: what the gate decided.
        evaluation: what evaluate measured.
        model_name: name of the model in the registry.
        registry: root of the model registry.
        held: held.json: the verdict, its reason and its checks.

    Returns:
        The outcome in one line, starting with `held`.
    """
    from frostline import hold as stage

    return stage.run(
        decision=decision.path, evaluation=evaluation.path, model_name=model_name, registry=registry, held=held.path,
    )  # fmt: skip
