"""hold: the champion stays in production, and the reason is recorded."""

from kfp import dsl


@dsl.component(base_image="frostline:0.1.0", install_kfp_package=False)
def hold(decision: dsl.Input[dsl.Artifact], held: dsl.Output[dsl.Artifact]) -> str:
    """Record that the model was not pushed.

    Args:
        decision: what the gate decided.
        held: held.json: the verdict, its reason and its checks.

    Returns:
        The outcome in one line, starting with `held`.
    """
    from frostline import hold as stage

    return stage.run(decision=decision.path, held=held.path)
