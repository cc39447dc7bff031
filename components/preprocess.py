"""preprocess: one shard of the manifest becomes TFRecords; what cannot be read is set aside."""

from kfp import dsl


@dsl.component(base_image="frostline:0.1.0", install_kfp_package=False)
def preprocess(
    dataset: dsl.Input[dsl.Dataset],
    shard: str,
    image_size: int,
    store: str,
    examples: dsl.Output[dsl.Artifact],
):
    """Decode and resize one shard's images and write them as TFRecords into the store.

    Args:
        dataset: the manifest.
        shard: name of the shard, `SSSSS-of-NNNNN`.
        image_size: stored height and width, in pixels.
        store: root of the heavy bytes.
        examples: index.jsonl (what was written where) and quarantine.jsonl (what could not be read, and why).
    """
    from frostline import preprocess as stage

    stage.run(dataset=dataset.path, shard=shard, image_size=image_size, store=store, examples=examples.path)
