"""ingest: list the source's images, assign labels and splits, cut the list into shards."""

from typing import List

from kfp import dsl


@dsl.component(base_image="frostline:0.1.0", install_kfp_package=False)
def ingest(source: str, data: dict, shards: int, store: str, dataset: dsl.Output[dsl.Dataset]) -> List[str]:
    """Write the manifest of the source's images and return the names of its shards.

    Args:
        source: a directory of class folders, tfds://NAME, or digits (embedded).
        data: which images are used, and how they are split.
        shards: number of preprocessing shards.
        store: root of the store, a directory or gs://.
        dataset: manifest.jsonl (one row per image) and source.json (labels, counts, digests).

    Returns:
        Shard names, `SSSSS-of-NNNNN`.
    """
    from frostline import ingest as stage

    return stage.run(source=source, data=data, shards=shards, store=store, dataset=dataset.path)
