"""release: publish the model if the gate promoted it, else hold it."""

from kfp import dsl


def release(
    model: dsl.Input[dsl.Model], evaluation: dsl.Input[dsl.Artifact], decision: dsl.Input[dsl.Artifact],
    model_name: str, registry: str, signing: dict, released: dsl.Output[dsl.Artifact], metrics: dsl.Output[dsl.Metrics],
    outcome: dsl.Output[dsl.Markdown],
) -> str:  # fmt: skip
    """Push or hold, as the gate decided, and tell the outcome in one line."""
    from frostline import attempts

    found = attempts.run(
        "release", model=model.path, evaluation=evaluation.path, decision=decision.path, model_name=model_name,
        registry=registry, signing=signing, released=released.path, page=outcome.path,
    )  # fmt: skip
    metrics.metadata["outcome"] = found["outcome"]
    for name, value in found["numbers"].items():
        metrics.log_metric(name, value)
    return found["outcome"]
