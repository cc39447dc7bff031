"""validate: gather the shares of all workers into one dataset, and check it before anything is trained on it."""

from typing import List

from kfp import dsl


def validate(
    dataset: dsl.Input[dsl.Dataset], shares: dsl.Input[List[dsl.Artifact]], image_size: int, store: str,
    info: dsl.Output[dsl.Dataset], data_page: dsl.Output[dsl.HTML],
):  # fmt: skip
    """Gather the shares, and check labels, splits and counts."""
    from frostline import attempts

    attempts.run(
        "validate", dataset=dataset.path, examples=[share.path for share in shares], image_size=image_size, store=store,
        info=info.path, page=data_page.path,
    )  # fmt: skip
