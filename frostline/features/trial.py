"""The trial of bfloat16: images go through the prefix in both precisions, and what changes for a head is measured.

Two measures. `noise` is how far features move, relative to what tells the images apart: a common offset counts for
nothing, at each position of a map. `frostline.features.probe` tells what a linear head answers, from features pooled
over positions.

The limits were calibrated with pretrained InceptionV3 weights on photos of five flowers, in groups of 32 to 96 and at
mixed2, mixed4, mixed7, mixed9, mixed10 and after pooling. The relative L2 error of 32 images was 0.7 to 2.6 %:

- Noise was 1.5 to 3.2 %. The probe's scores shifted by 1.3 to 4.0 %, and the predictions that changed, at most 4 in a
  group, had at most 0.6 % of all margins.
- After pooling, with this rounding error three times as large, the shift is 8 to 12 %. Of two logistic regressions on
  400 images, the probabilities on 240 others then differ by 0.01 on average, the loss by less than 0.001, and the
  accuracy is no worse. With six times, the shift is 14 to 23 %, and 4 % of the predictions differ; with 16 times, the
  accuracy falls by 2.4 points.
- With an offset of 100 standard deviations added to the features, rounding them to bfloat16 is an error of 0.15 % in
  relative L2, and shifts the scores by 44 to 92 %.

So the limits are at two to three times what sound weights give. 32 images measure as well as 96.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from frostline.documents.data import ManifestRow
from frostline.documents.features import Agreement, ProbeAnswers
from frostline.features import probe
from frostline.features.prefix import BATCH

VERSION = 2  # part of a verdict's address; raise it when the same features can get another verdict
MAX_NOISE = 0.1
MAX_NOISE_ALONE = 0.05  # where there are too few images for a probe
MAX_SHIFT = 0.1  # of the probe's scores
MAX_LOST = 0.02  # of the probe's margins
_MOST = 3  # batches
_PAYS = 4  # batches: in a run of fewer, nothing is tried
_SHARE = 8  # a further batch is tried only for so many that are computed
_PER_CLASS = 4  # images: of more classes, only some are tried


def size_for(passes: int) -> int:
    """How many images are tried before `passes` images go through the prefix; 0 if a trial does not pay.

    bfloat16 is about twice as fast where it is fast, so a trial, which takes both precisions, costs what bfloat16 saves
    on three times its images: here at most three quarters of what it saves in this run, and three eighths in one of 256
    images or more. A batch costs the same however few images it has.
    """
    if passes < _PAYS * BATCH:
        return 0
    return BATCH * min(max(1, passes // (_SHARE * BATCH)), _MOST)


def ordered(rows: Iterable[ManifestRow], size: int) -> list[ManifestRow]:
    """Training images in the order in which `size` of them are tried: by digest, the classes take turns.

    The largest classes come first, so many that each can have several images; the others replace what is unreadable or
    lacking. Copies count once.
    """
    by_class = defaultdict[int, list[ManifestRow]](list)
    training = {str(row["sha256"]): row for row in rows if row["split"] == "train"}
    for _, row in sorted(training.items()):
        by_class[row["label"]].append(row)
    classes = [by_class[label] for label in sorted(by_class, key=lambda label: (-len(by_class[label]), label))]
    first = max(2, size // _PER_CLASS)
    return [
        row
        for part in (classes[:first], classes[first:])
        for turn in itertools.zip_longest(*part)
        for row in turn
        if row is not None
    ]


def compare(
    parts: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]], labels: Sequence[int]
) -> Agreement | None:
    """Compare features in bfloat16 with those in float32; of maps, only one batch is held.

    Args:
        parts: features in float32 and in bfloat16, [n, ..., channels] each, batch by batch.
        labels: class indexes of all images.

    Returns:
        The measures, and whether they are within the limits; None if a feature is not finite.
    """
    pooled = []
    origin, total, squares, error = None, np.float64(0), 0.0, 0.0
    for part in parts:
        if not all(np.isfinite(features).all() for features in part):
            return None
        pooled.append([_pooled(features) for features in part])
        for exact, lowered in zip(*part, strict=True):
            origin = exact if origin is None else origin  # near the others, so that the sums stay accurate
            away = exact.astype(np.float64) - origin
            total, squares = total + away, squares + float(np.sum(away**2))
            error += float(np.sum((exact.astype(np.float64) - lowered) ** 2))
    spread = squares - float(np.sum(total**2)) / len(labels)  # sum of the squared deviations from the mean image
    full, low = (np.concatenate(features) for features in zip(*pooled, strict=True))
    answers = probe.compare(full, low, np.array(labels, np.int64))
    return _judged(len(labels), math.sqrt(error / spread) if spread > 0 else None, answers)


def _pooled(features: NDArray[np.float32]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = features.reshape(len(features), -1, features.shape[-1]).mean(axis=1, dtype=np.float64)
    return means


def _judged(images: int, noise: float | None, answers: ProbeAnswers | None) -> Agreement:
    """`noise` is None if all images have the same features."""
    if noise is None:
        return {"images": images, "agrees": False}
    if answers is None:
        return {"images": images, "noise": noise, "agrees": noise <= MAX_NOISE_ALONE}
    within = noise <= MAX_NOISE and answers["shift"] <= MAX_SHIFT and answers["lost"] <= MAX_LOST
    return {"images": images, "noise": noise, "probe": answers, "agrees": within}


def reason(measured: Agreement) -> str:
    """What was measured and its limits, in words."""
    images = f"on {measured['images']} image{'s' if measured['images'] > 1 else ''}"
    if "noise" not in measured:
        return f"{images}, all features are the same, so bfloat16 cannot be judged"
    answers = measured.get("probe")
    told = (
        f"{images}, bfloat16 moves the features by {_percent(measured['noise'])} of what tells images apart (limit "
        f"{_percent(MAX_NOISE if answers else MAX_NOISE_ALONE)})"
    )
    if not answers:
        return f"{told}; a linear probe needs {probe.FEWEST} images of classes with several"
    changes = "prediction changes" if answers["changed"] == 1 else "predictions change"
    return (
        f"{told} and what a linear probe says of images left out by {_percent(answers['shift'])} (limit "
        f"{_percent(MAX_SHIFT)}); {answers['changed']} {changes}, with {_percent(answers['lost'])} of all margins "
        f"(limit {_percent(MAX_LOST)})"
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2g} %"
