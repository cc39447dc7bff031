"""push: publish a promoted model as a version, then move the champion alias."""

from kfp import dsl


@dsl.component(base_image="frostline:0.1.0", install_kfp_package=False)
def push(
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    model_name: str,
    registry: str,
    published: dsl.Output[dsl.Artifact],
) -> str:
    """Publish the model as an immutable version and make it the champion, unless the champion changed since.

    Args:
        model: what train wrote.
        evaluation: what evaluate measured.
        decision: what the gate decided.
        model_name: name of the model in the registry.
        registry: root of the model registry.
        published: version.json: the version's number, address and digest.

    Returns:
        The outcome in one line, starting with `pushed`, `candidate` or `held`.
    """
    from frostline import push as stage

    return stage.run(
        model=model.path, evaluation=evaluation.path, decision=decision.path, model_name=model_name,
        registry=registry, published=published.path,
    )  # fmt: skip
