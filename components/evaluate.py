"""evaluate: the exported model on test images that it was not trained on, and the champion on the same images."""

from kfp import dsl


@dsl.component(base_image="frostline:0.1.0", install_kfp_package=False)
def evaluate(
    dataset: dsl.Input[dsl.Dataset],
    info: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    model_name: str,
    gate: dict,
    registry: str,
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    classification: dsl.Output[dsl.ClassificationMetrics],
    page: dsl.Output[dsl.HTML],
):
    """Feed the original bytes of the test split to the exported model, and to the champion if there is one.

    Args:
        dataset, info: the manifest, and the validated dataset.
        model: the exported model.
        model_name: name of the model in the registry.
        gate: the gate section, for the confidence level of the intervals.
        registry: root of the registry.
        evaluation: evaluation.json, predictions.parquet, golden.parquet, worst.json.
        metrics: accuracy, macro F1, log loss, Brier score, calibration error.
        classification: the confusion matrix.
        page: the evaluation as a page.
    """
    from frostline import evaluate as stage

    found = stage.run(
        dataset=dataset.path, info=info.path, model=model.path, model_name=model_name, gate=gate, registry=registry,
        evaluation=evaluation.path, page=page.path,
    )  # fmt: skip
    for name, value in found["numbers"].items():
        metrics.log_metric(name, value)
    classification.log_confusion_matrix(found["labels"], found["confusion"])
