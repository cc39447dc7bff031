"""Which split an image belongs to: a pure function of its content and the two fractions.

The rule: SHA-256 of `frostline/split/v1:` and the image's own SHA-256, read as a number u in [0, 1). Test is
[0, test), validation [test, test + validation), train the rest. An image therefore keeps its split when the dataset
grows, shrinks or is renamed, copies of an image are in the same split, and changing `validation_fraction` never moves
an image into or out of test. The fractions hold on average: with n images, the standard deviation of a fraction p is
sqrt(p (1 - p) / n).

Small classes: where a class has no image in a split that is asked for, `assign` moves the image whose u is nearest to
that split's interval, out of a split that has another one of the class. That is a function of the class's images, so
such an image may move back once the class has grown; `assign` returns how many were moved. A class with at least one
image in each split by the rule has none moved.

Source of the rule: the "repeatable splitting" pattern (Lakshmanan, Robinson, Munn, "Machine Learning Design
Patterns", 2020, chapter 6), with the content as the key. The prefix makes u independent of the order by SHA-256, in
which `ingest` picks the first N images of a class.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from frostline import digests
from frostline.documents.data import Counts, IndexRow, SplitName

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


def split_of(sha256: str, *, validation_fraction: float, test_fraction: float) -> SplitName:
    """The split of the image with this digest.

    Args:
        sha256: digest of the image's original bytes, in lower-case hexadecimal.
        validation_fraction: fraction of all images for validation (0..1).
        test_fraction: fraction of all images for test (0..1).
    """
    position = _position(sha256)
    if position < test_fraction:
        return "test"
    if position < test_fraction + validation_fraction:
        return "validation"
    return "train"


def _position(sha256: str) -> float:
    digest = hashlib.sha256(f"frostline/split/v1:{sha256}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53  # 53 bits: exact as a float, and below 1


def assign(
    classes: Iterable[Iterable[str]], *, validation_fraction: float, test_fraction: float
) -> tuple[dict[str, SplitName], int]:
    """The split of every image, with small classes in every split that they have images for.

    A class needs two different images to have one in train and in test, and a third for one in validation. A split
    whose fraction is 0 gets none.

    Args:
        classes: digests of the images of each class, copies too.
        validation_fraction: fraction of all images for validation (0..1).
        test_fraction: fraction of all images for test (0..1).

    Returns:
        ({digest: split}, the number of images whose split is not that of `split_of`).
    """
    fractions = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
    intervals: dict[SplitName, tuple[float, float]] = {
        "train": (test_fraction + validation_fraction, 1.0),
        "test": (0.0, test_fraction),
        "validation": (test_fraction, test_fraction + validation_fraction),
    }
    found: dict[str, SplitName] = {}
    moved = 0
    for images in classes:
        own = {sha256: split_of(sha256, **fractions) for sha256 in sorted(set(images))}
        before = dict(own)
        wanted = [split for split, (start, end) in intervals.items() if start < end]
        for split in wanted[: len(own)] if len(own) > 1 else ():
            if split not in own.values():
                spare = [one for one in own if sum(other == own[one] for other in own.values()) > 1]
                spare = spare or [one for one in own if own[one] == "validation"]
                own[min(spare, key=lambda one: (_distance(_position(one), intervals[split]), one))] = split
        moved += sum(own[sha256] != before[sha256] for sha256 in own)
        found.update(own)
    return found, moved


def _distance(position: float, interval: tuple[float, float]) -> float:
    return max(interval[0] - position, position - interval[1], 0.0)


def count(rows: Iterable[IndexRow], labels: Sequence[str]) -> Counts:
    """Count images by split and label, zeros included.

    Args:
        rows: rows of the manifest or of an index.
        labels: class names by index.

    Returns:
        {split: {label: images}}.
    """
    counted = Counter((row["split"], row["label"]) for row in rows)
    return {split: {label: counted[split, number] for number, label in enumerate(labels)} for split in SPLITS}


def digest(examples: Iterable[tuple[str, int]]) -> str:
    """Digest of which images there are and of their labels, in any order.

    Args:
        examples: SHA-256 of each image's original bytes, and the index of its class.
    """
    return digests.of_json(sorted(examples))
