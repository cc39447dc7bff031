"""ingest: list the source's images, assign labels and splits, share them out to workers."""

from typing import List

from kfp import dsl


def ingest(
    source: str, data: dict, shards: int, workers: int, store: str, dataset: dsl.Output[dsl.Dataset]
) -> List[str]:
    """List the images of the source, and name the workers."""
    from frostline import attempts

    return attempts.run(
        "ingest", source=source, data=data, shards=shards, workers=workers, store=store, dataset=dataset.path
    )
