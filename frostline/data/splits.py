"""Which split an image belongs to: a pure function of its content and the two fractions.

The rule: SHA-256 of `frostline/split/v1:` and the image's own SHA-256, read as a number u in [0, 1). Test is
[0, test), validation [test, test + validation), train the rest. So an image keeps its split however the dataset
grows, shrinks or is renamed; copies of an image share one; and changing `validation_fraction` never moves an image
into or out of test. The shares hold on average: with n images, a share p is off by about sqrt(p (1 - p) / n).

Source of the rule: the "repeatable splitting" pattern (Lakshmanan, Robinson, Munn, "Machine Learning Design
Patterns", 2020, chapter 6), with the content as the key. The prefix makes u independent of the order by SHA-256, by
which `ingest` picks the first N images of a class.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def split_of(sha256: str, *, validation_fraction: float, test_fraction: float) -> Split:
    """The split of the image with this digest.

    Args:
        sha256: digest of the image's original bytes, in lower-case hexadecimal.
        validation_fraction: share of all images for validation (0..1).
        test_fraction: share of all images for test (0..1).
    """
    digest = hashlib.sha256(f"frostline/split/v1:{sha256}".encode()).digest()
    position = (int.from_bytes(digest[:8], "big") >> 11) / 2**53  # 53 bits: exact as a float, and below 1
    if position < test_fraction:
        return "test"
    if position < test_fraction + validation_fraction:
        return "validation"
    return "train"
