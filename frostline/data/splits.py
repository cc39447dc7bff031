"""Which split an image belongs to: a pure function of its content and the two fractions.

The rule: SHA-256 of `frostline/split/v1:` and the image's own SHA-256, read as a number u in [0, 1). Test is
[0, test), validation [test, test + validation), train the rest. An image therefore keeps its split when the dataset
grows, shrinks or is renamed, copies of an image are in the same split, and changing `validation_fraction` never moves
an image into or out of test. The fractions hold on average: with n images, the standard deviation of a fraction p is
sqrt(p (1 - p) / n).

Source of the rule: the "repeatable splitting" pattern (Lakshmanan, Robinson, Munn, "Machine Learning Design
Patterns", 2020, chapter 6), with the content as the key. The prefix makes u independent of the order by SHA-256, in
which `ingest` picks the first N images of a class.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from frostline.documents.data import Counts, IndexRow, SplitName

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


def split_of(sha256: str, *, validation_fraction: float, test_fraction: float) -> SplitName:
    """The split of the image with this digest.

    Args:
        sha256: digest of the image's original bytes, in lower-case hexadecimal.
        validation_fraction: fraction of all images for validation (0..1).
        test_fraction: fraction of all images for test (0..1).
    """
    digest = hashlib.sha256(f"frostline/split/v1:{sha256}".encode()).digest()
    position = (int.from_bytes(digest[:8], "big") >> 11) / 2**53  # 53 bits: exact as a float, and below 1
    if position < test_fraction:
        return "test"
    if position < test_fraction + validation_fraction:
        return "validation"
    return "train"


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
