"""evaluate: the exported model on test images that it was not trained on, and the champion on the same images."""

from kfp import dsl


def evaluate(
    dataset: dsl.Input[dsl.Dataset], info: dsl.Input[dsl.Dataset], model: dsl.Input[dsl.Model], model_name: str,
    gate: dict, store: str, registry: str, signing: dict, evaluation: dsl.Output[dsl.Artifact],
    confusion: dsl.Output[dsl.ClassificationMetrics], evaluation_page: dsl.Output[dsl.HTML],
):  # fmt: skip
    """Feed original test images to the exported model, and to the champion if there is one."""
    from frostline import attempts

    found = attempts.run(
        "evaluate", dataset=dataset.path, info=info.path, model=model.path, model_name=model_name, gate=gate,
        store=store, registry=registry, signing=signing, evaluation=evaluation.path, page=evaluation_page.path,
    )  # fmt: skip
    confusion.log_confusion_matrix(found["labels"], found["confusion"])
