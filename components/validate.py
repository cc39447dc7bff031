"""validate: gather the shards into one dataset, and check it before anything is trained on it."""

from typing import List

from kfp import dsl


@dsl.component(base_image="frostline:0.1.0", install_kfp_package=False)
def validate(
    dataset: dsl.Input[dsl.Dataset],
    examples: dsl.Input[List[dsl.Artifact]],
    image_size: int,
    store: str,
    info: dsl.Output[dsl.Dataset],
    page: dsl.Output[dsl.HTML],
):
    """Gather the shards, check labels, splits and counts, and describe the dataset for TFDS.

    Args:
        dataset: the manifest.
        examples: one index per shard.
        image_size: stored height and width, in pixels.
        store: root of the store, a directory or gs://.
        info: labels.txt, report.json, quarantine.jsonl and info.json (where the records are).
        page: the report as an HTML page.
    """
    from frostline import validate as stage

    stage.run(
        dataset=dataset.path, examples=[one.path for one in examples], image_size=image_size, store=store,
        info=info.path, page=page.path,
    )  # fmt: skip
