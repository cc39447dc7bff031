"""Which images a decision used, in little space, and how many of them another decision used.

An image's SHA-256 is as good as a random number, so the smallest of a set's digests are a random sample of the set, and
two such samples show how much of two sets is shared. Sets of up to 256 images are kept whole, and their overlap is
exact; for two larger ones of the same size its standard error is at most 4 points. Source: E. Cohen and H. Kaplan,
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
    """The fraction (0..1) of a set's images that are also in another set; 1 where the sketches cannot tell.

    Args:
        images: number of images of the set.
        smallest: its `sketch`.
        other_images: number of images of the other set.
        other_smallest: the other one's `sketch`.
    """
    # Up to the largest digest of a sketch that is not whole, that sketch has all images of its set.
    ends = [
        part[-1] for part, size in ((smallest, images), (other_smallest, other_images)) if len(part) < size and part
    ]
    known = {digest for digest in smallest if not ends or digest <= min(ends)}
    if known:
        return len(known & set(other_smallest)) / len(known)
    return 0.0 if len(other_smallest) == other_images else 1.0
