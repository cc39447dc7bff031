"""Which images are proven in a run: a few of each split, in an order that the seed of the run decides."""

from __future__ import annotations

from collections.abc import Iterable

from frostline import digests
from frostline.documents.data import ManifestRow
from frostline.documents.features import Features, SampledImage

SIZE = 16  # images of each split
SPLITS = ("validation", "train")  # those that are cached


def choose(rows: Iterable[ManifestRow | SampledImage], seed: int) -> list[SampledImage]:
    """Choose the images to prove, a pure function of the seed and of which images there are.

    The choice of all is among the choices of any parts, so each worker chooses of its own images and `of_run` of those.

    Args:
        rows: readable images, in any order; copies count once.
        seed: of the run.

    Returns:
        At most SIZE images of the validation split, then at most SIZE of training.
    """
    distinct = {row["sha256"]: row for row in rows}.values()
    found = sorted(distinct, key=lambda row: digests.of_bytes(f"{seed} {row['sha256']}".encode()))
    chosen = [row for split in SPLITS for row in [one for one in found if one["split"] == split][:SIZE]]
    return [
        {
            "id": row["id"],
            "uri": row["uri"],
            "offset": row["offset"],
            "size": row["size"],
            "sha256": row["sha256"],
            "label": row["label"],
            "split": row["split"],
        }
        for row in chosen
    ]


def of_run(documents: Iterable[Features], seed: int) -> list[SampledImage]:
    """Choose among what the shares chose; empty where an earlier version wrote them."""
    return choose((row for document in documents for row in document.get("sample", [])), seed)
