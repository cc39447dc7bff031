"""gate: can this model replace the one in production?"""

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
    """Decide from written evidence alone, and record the reasons.

    The decision is the only, unnamed output: with a named one, kfp.local skips `dsl.If` and reports success.

    Args:
        evaluation: metrics and the comparison with the champion.
        model: the freeze certificate.
        info: the data validation report.
        gate: the gate section: floors, margins, limits and confidence level.
        decision: decision.json and decision.md.
        page: decision.md, for the run's page.
        report: the whole run on one page.

    Returns:
        True to promote, False to hold.
    """
    from frostline import gate as stage

    return stage.run(
        evaluation=evaluation.path, model=model.path, info=info.path, gate=gate, decision=decision.path,
        page=page.path, report=report.path,
    )  # fmt: skip
