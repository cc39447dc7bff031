"""preprocess: write the images of one shard as TFRecords; images that cannot be read are set aside."""

from kfp import dsl


@dsl.component(base_image="frostline:0.1.0", install_kfp_package=False)
def preprocess(
    dataset: dsl.Input[dsl.Dataset],
    shard: str,
    image_size: int,
    store: str,
    examples: dsl.Output[dsl.Artifact],
):
    """Decode and resize the images of one shard and write them as TFRecords into the store.

    Args:
        dataset: the manifest.
        shard: name of the shard, `SSSSS-of-NNNNN`.
        image_size: stored height and width, in pixels.
        store: root of the store, a directory or gs://.
        examples: index.jsonl (images written), quarantine.jsonl (images that cannot be read, and why) and shard.json.
    """
    from frostline import preprocess as stage

    stage.run(dataset=dataset.path, shard=shard, image_size=image_size, store=store, examples=examples.path)
