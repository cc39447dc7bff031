"""Which images a decision used, in little space, and how many of them another decision used.

An image's SHA-256 is as good as a random number, so the smallest of a set's digests are a random sample of the set, and
two such samples show how much of two sets is shared. Sets of up to 256 images are kept whole, and their overlap is
exact; for larger ones the standard error of the shared fraction is at most 3 points. Source: E. Cohen and H. Kaplan,
"Summarizing data using bottom-k sketches", PODC 2007.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

KEPT = 256
_LENGTH = 16  # hexadecimal digits of a digest that are kept: two of a million images share them once in 40 million sets


def sketch(images: Iterable[str]) -> list[str]:
    """The beginnings of the smallest digests, in ascending order, at most 256.

    Args:
        images: SHA-256 of each image.
    """
    return sorted({image[:_LENGTH] for image in images})[:KEPT]


def overlap(images: int, smallest: Sequence[str], other_images: int, other_smallest: Sequence[str]) -> float:
    """The fraction (0..1) of a set's images that are also in another set.

    Args:
        images: number of images of the set.
        smallest: its `sketch`.
        other_images: number of images of the other set.
        other_smallest: the other one's `sketch`.
    """
    mine, theirs = set(smallest), set(other_smallest)
    # Up to the largest digest of a sketch that is not whole, both sketches know all images of their sets.
    ends = [max(part) for part, size in ((mine, images), (theirs, other_images)) if part and len(part) < size]
    known = {digest for digest in mine | theirs if not ends or digest <= min(ends)}
    if not known or not images:
        return 0.0
    shared = len(mine & theirs & known) / len(known)  # of the union
    return min(1.0, shared * (images + other_images) / (1 + shared) / images)
