"""How the test images were used before, and the record that they are used again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from frostline import digests, registry
from frostline.documents.chain import ChainRow
from frostline.documents.data import ManifestRow
from frostline.documents.evaluation import (
    Compared,
    ComparedReference,
    Interval,
    TestSplit,
    Uncompared,
    UncomparedReference,
)
from frostline.registry import Against, Attempt, sketches
from frostline.registry.objects import Rate, now

_SHOWN = 60  # rows of the chain that an evaluation keeps, the last ones
_Reference = ComparedReference | UncomparedReference


@dataclass(frozen=True)
class TestUse:
    """This evaluation's name in the registry, the use of its test images, and what happened before."""

    attempt: str
    split: TestSplit
    chain: list[ChainRow]


def record(
    root: str,
    model_name: str,
    model_digest: str,
    rows: Sequence[ManifestRow],
    accuracy: Interval,
    champion: Compared | Uncompared | None,
    reference: _Reference | None,
) -> TestUse:
    """Record the evaluation as an attempt, and count the earlier ones by the test images that they share with it.

    The same model on the same images against the same champion and reference is one attempt, however often it is
    evaluated.

    Args:
        root: the registry.
        model_name: name of the model.
        model_digest: of the model.
        rows: manifest rows of the test images.
        accuracy: of the model.
        champion, reference: the comparisons.

    Raises:
        RegistryError: an object of the registry is malformed.
        StorageError: the registry cannot be written.
    """
    images = {row["sha256"] for row in rows}
    split, sketch = digests.of_json(sorted(images)), sketches.sketch(images)
    against = [None if one is None else [one["version"], one["promotion"]] for one in (champion, reference)]
    name = digests.of_json([model_digest, split, against])[:32]
    before = registry.attempts(root, model_name)
    chain = [row for row in registry.chain(root, model_name) if row["at"]][-_SHOWN:]
    registry.begin(
        root,
        Attempt(
            model=model_name,
            attempt=name,
            evaluated_at=now(),
            model_digest=model_digest,
            images=len(images),
            sketch=sketch,
            accuracy=Rate(value=accuracy["value"], low=accuracy["low"], high=accuracy["high"]),
            champion=_against(champion),
            reference=_against(reference),
        ),
    )
    earlier = [one for one in before if one.attempt != name]
    return TestUse(name, _count(root, model_name, earlier, split, len(images), sketch, reference), chain)


def _count(
    root: str,
    model_name: str,
    earlier: Sequence[Attempt],
    split: str,
    images: int,
    sketch: list[str],
    reference: _Reference | None,
) -> TestSplit:
    promoted = registry.history(root, model_name)
    unrecorded = sum(one.test_split == split and one.attempt is None for one in promoted)  # before there were attempts
    decided = {one.attempt for one in promoted}
    sharing = [one for one in earlier if registry.looks([one], images, sketch) > 0.0]
    of_reference = [
        one
        for one in sharing
        if one.reference is not None and reference is not None and one.reference.version == reference["version"]
    ]
    return {
        "digest": split,
        "promotions": registry.promotions_decided_on(root, model_name, split),
        "attempts": len(sharing) + unrecorded,
        "held": sum(one.attempt not in decided for one in sharing),
        "looks": unrecorded + registry.looks(sharing, images, sketch),
        "reference_looks": registry.looks(of_reference, images, sketch),
    }


def _against(one: Compared | Uncompared | _Reference | None) -> Against | None:
    if one is None:
        return None
    gain = one["difference"]["value"] if one["comparable"] is True else None
    pinned = bool(one.get("pinned", False))
    return Against(version=one["version"], manifest_digest=one["manifest_digest"], gain=gain, pinned=pinned)
