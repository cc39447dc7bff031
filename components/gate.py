"""gate: may this model replace the one that serves?"""

from kfp import dsl


@dsl.component(base_image="frostline:0.1.0", install_kfp_package=False)
def gate(
    evaluation: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    info: dsl.Input[dsl.Dataset],
    gate: dict,
    decision: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.Markdown],
    report: dsl.Output[dsl.HTML],
) -> bool:
    """Decide from the written evidence alone, and write down why.

    The answer is the one unnamed output: kfp.local skips `dsl.If` on a named output, and says success.

    Args:
        evaluation: metrics and the comparison with the champion.
        model: the freeze certificate.
        info: the data validation report.
        gate: floors, margin and confidence.
        decision: decision.json and decision.md.
        page: decision.md, for the run's page.
        report: the whole run on one page.

    Returns:
        Whether to promote.
    """
    from frostline import gate as stage

    return stage.run(
        evaluation=evaluation.path, model=model.path, info=info.path, gate=gate, decision=decision.path,
        page=page.path, report=report.path,
    )  # fmt: skip
