"""Random changes to training images: flip, crop and colour, each image a pure function of (seed, view, image).

All random numbers for an image come from one stateless stream, whose seed is made from these three. So the order of
images and their batch do not matter, and a feature cache can say which variants it holds.

Many images are changed at once, in NumPy: each operation on floats rounds once and alone, so the bits are the same on
any machine and in any batch.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from frostline.data import philox
from frostline.data.config import AugmentConfig

VERSION = 1  # of the algorithm; raise it when the same random numbers give other pixels
_DRAWS = 7  # always all of them, so that switching one change off leaves the others as they were
_LUMA = np.array((0.299, 0.587, 0.114), np.float32)  # red, green and blue in a grey level: ITU-R BT.601, as in Pillow
_HALF, _ONE, _TWO = (np.float32(number) for number in (0.5, 1, 2))

_thread = threading.local()

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def draws(keys: NDArray[np.int64], *, view: int, seed: int) -> Floats:
    """Draw the random numbers of one variant of each image.

    Args:
        keys: [n] int64, the examples' keys.
        view: number of the variant.
        seed: seed of the run.

    Returns:
        [n, 7] float32 in [0, 1).
    """
    seeds = np.zeros((len(keys), 2), np.int64)
    seeds[:, 0] = seed
    for part in (np.full_like(keys, view), keys):
        seeds = philox.fold_in(seeds, part)
    return philox.uniform(seeds, _DRAWS)


def apply(images: Pixels, drawn: Floats, config: AugmentConfig) -> Pixels:
    """Make one variant of each image. Each thread keeps memory for three copies of the images as floats.

    Args:
        images: [n, size, size, 3] uint8.
        drawn: [n, 7] float32, the images' random numbers.
        config: which changes, and how large they are.

    Returns:
        [n, size, size, 3] uint8; the images themselves if the configuration changes nothing.
    """
    if not config.active:
        return images
    planes, *spare = _memory((len(images), 3, *images.shape[1:3]))
    columns = _as_bytes(spare[1])
    columns[...] = images.transpose(0, 3, 2, 1)  # first across and then down
    if config.flip:
        mirrored = drawn[:, 0] < _HALF
        columns[mirrored] = columns[mirrored, :, ::-1]
    if not config.crop and not config.colour:
        return _interleaved(columns.swapaxes(2, 3))
    if config.crop:
        planes[...] = columns
        _crop(planes, spare, config.crop, drawn[:, 1:4])
    else:
        rows = _as_bytes(spare[0])
        rows[...] = columns.swapaxes(2, 3)
        planes[...] = rows
    if config.colour:
        _recolour(planes, spare[0], _ONE + np.float32(config.colour) * (_TWO * drawn[:, 4:7] - _ONE))
    return _interleaved(_rounded(planes, spare[0]))


def description(config: AugmentConfig, seed: int) -> dict[str, float]:
    """Everything but the image and the view that a variant depends on, for a content address; {} if inactive."""
    if not config.active:
        return {}
    return {"version": VERSION, "seed": seed, **config.model_dump(include={"flip", "crop", "colour"})}


def _memory(shape: tuple[int, ...]) -> Floats:
    """[3, *shape] float32 of any content, the same memory in each call from a thread: new memory costs page faults."""
    size = 3 * math.prod(shape)
    if getattr(_thread, "memory", np.empty(0)).size < size:
        _thread.memory = np.empty(size, np.float32)
    return cast(Floats, _thread.memory[:size].reshape(3, *shape))


def _as_bytes(floats: Floats) -> Pixels:
    """An array of this shape in the first quarter of the same memory."""
    return floats.reshape(-1).view(np.uint8)[: floats.size].reshape(floats.shape)


def _rounded(planes: Floats, spare: Floats) -> Pixels:
    """Round and clip, in place, and store in `spare`: [n, 3, size, size] float32 to the same in uint8."""
    levels = _as_bytes(spare)
    levels[...] = np.clip(np.rint(planes, out=planes), 0, 255, out=planes)
    return levels


def _interleaved(planes: Pixels) -> Pixels:
    """[n, 3, size, size] uint8 to [n, size, size, 3] uint8, in new memory."""
    return np.stack(list(planes.swapaxes(0, 1)), axis=-1)


def _crop(planes: Floats, spare: Sequence[Floats], fraction: float, drawn: Floats) -> None:
    """Crop each image to a square window of whole pixels, uniform in size and position, and resize it back bilinearly.

    Args:
        planes: [n, 3, size, size] float32, first across and then down; overwritten by the result, first down and then
            across, neither rounded nor clipped.
        spare: two arrays of this shape, overwritten.
        fraction: largest fraction of the side that is cut away.
        drawn: [n, 3] float32 in [0, 1), for the window's side, its top and its left edge.
    """
    size = planes.shape[-1]
    smallest = max(1, size - int(size * fraction))
    side = smallest + _whole(drawn[:, 0], np.full(len(planes), size - smallest + 1))
    top, left = (_whole(drawn[:, number], size - side + 1) for number in (1, 2))
    across, other = spare
    _resize(planes, left, side, across, other)
    other[...] = across.swapaxes(2, 3)
    _resize(other, top, side, planes, across)


def _whole(drawn: Floats, count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Map random numbers in [0, 1) to integers in 0..count - 1: [n] each."""
    return (drawn * count.astype(np.float32)).astype(np.int64)


def _resize(planes: Floats, start: NDArray[np.int64], side: NDArray[np.int64], out: Floats, spare: Floats) -> None:
    """Resize a window of each image to the image's size, along one axis: as `tf.image.resize`, without antialiasing.

    Args:
        planes: [n, 3, size, size] float32, with the axis as the third.
        start: [n] int64, where the windows start.
        side: [n] int64, their lengths.
        out: as `planes`, for the result.
        spare: as `planes`, overwritten.
    """
    count, colours, size, _ = planes.shape
    scale = side.astype(np.float32) / np.float32(size)
    centres = (np.arange(size, dtype=np.float32) + _HALF) * scale[:, None] - _HALF  # [n, size]
    below = np.floor(centres)
    lower = np.maximum(below.astype(np.int64), 0)
    upper = np.minimum(np.ceil(centres).astype(np.int64), side[:, None] - 1)
    first = start[:, None, None] + size * np.arange(count * colours).reshape(count, colours, 1)
    for places, values in ((lower, spare), (upper, out)):
        planes.reshape(-1, size).take(first + places[:, None], axis=0, out=values, mode="clip")  # raise would copy
    out -= spare
    out *= (centres - below)[:, None, :, None]
    out += spare


def _recolour(planes: Floats, spare: Floats, factors: Floats) -> None:
    """Multiply brightness, contrast and saturation by one factor each, as Pillow's ImageEnhance defines them, in place.

    Args:
        planes: [n, 3, size, size] float32, 0..255; neither rounded nor clipped afterwards.
        spare: as `planes`, overwritten.
        factors: [n, 3] float32: brightness, contrast, saturation.
    """
    bright, contrast, saturation = factors.T[..., None, None, None]
    planes *= bright
    grey = _grey(planes, spare)
    lines = np.rint(grey, out=grey).sum(axis=2)  # of whole numbers below 2^24, so exact in any order
    mean = lines.sum(axis=(1, 2), dtype=np.float64) / (planes.shape[2] * planes.shape[3])
    _stretch(planes, mean.astype(np.float32)[:, None, None, None], contrast)
    _stretch(planes, _grey(planes, spare), saturation)


def _stretch(planes: Floats, middle: Floats, factor: Floats) -> None:
    """Multiply the distance from `middle` by `factor`, in place."""
    planes -= middle
    planes *= factor
    planes += middle


def _grey(planes: Floats, spare: Floats) -> Floats:
    """Grey levels: [n, 3, size, size] float32 to [n, 1, size, size] float32, a part of `spare`."""
    np.multiply(planes, _LUMA[:, None, None], out=spare)
    grey = spare[:, :1]
    grey += spare[:, 1:2]
    grey += spare[:, 2:]
    return grey
