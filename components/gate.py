"""gate: can this model replace the one in production?"""

from kfp import dsl


def gate(
    evaluation: dsl.Input[dsl.Artifact], record: dsl.Input[dsl.Artifact], info: dsl.Input[dsl.Dataset], gate: dict,
    decision: dsl.Output[dsl.Artifact], decision_page: dsl.Output[dsl.Markdown], report: dsl.Output[dsl.HTML],
) -> bool:  # fmt: skip
    """Decide from written evidence alone: True to promote, False to hold."""
    from frostline import attempts

    return attempts.run(
        "gate", evaluation=evaluation.path, record=record.path, info=info.path, gate=gate, decision=decision.path,
        page=decision_page.path, report=report.path,
    )  # fmt: skip
