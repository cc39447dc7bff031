"""Random changes to training images: flip, crop and colour, each image a pure function of (seed, view, image).

All random numbers for an image come from one stateless stream, whose seed is made from these three. So the order of
images and their batch do not matter, and a feature cache can say which variants it holds.

Many images are changed at once, in NumPy: each operation on floats rounds once and alone, so the bits are the same on
any machine and in any batch.
"""

from __future__ import annotations

import math
import threading

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
Places = NDArray[np.int64]


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
    planes, spare, levels = _memory((3, *images.shape[:3]))
    mirrored = (drawn[:, 0] < _HALF) & config.flip
    for number, image in enumerate(images):
        seen = image[:, ::-1] if mirrored[number] else image
        levels[:, number] = seen.transpose(2, 1, 0) if config.crop else seen.transpose(2, 0, 1)
    if config.crop or config.colour:
        planes[...] = levels
        if config.crop:
            windows = _windows(images.shape[1], config.crop, drawn[:, 1:4])
            for plane in planes:  # one after the other, because a plane stays in the cache
                _crop(plane, spare, *windows)
        if config.colour:
            _recolour(planes, spare, _ONE + np.float32(config.colour) * (_TWO * drawn[:, 4:7] - _ONE))
        levels[...] = np.clip(np.rint(planes, out=planes), 0, 255, out=planes)
    return np.stack(list(levels), axis=-1)


def description(config: AugmentConfig, seed: int) -> dict[str, float]:
    """Everything but the image and the view that a variant depends on, for a content address; {} if inactive."""
    if not config.active:
        return {}
    return {"version": VERSION, "seed": seed, **config.model_dump(include={"flip", "crop", "colour"})}


def _memory(shape: tuple[int, ...]) -> tuple[Floats, Floats, Pixels]:
    """Three arrays of this shape and any content, in memory that a thread keeps, since new memory costs page faults."""
    size = math.prod(shape)
    if getattr(_thread, "memory", np.empty(0)).size < 3 * size:
        _thread.memory = np.empty(3 * size, np.float32)
    first, second, third = _thread.memory[: 3 * size].reshape(3, size)
    return first.reshape(shape), second.reshape(shape), third.view(np.uint8)[:size].reshape(shape)


def _windows(size: int, fraction: float, drawn: Floats) -> tuple[Places, Places, Places]:
    """Choose square windows of whole pixels, uniform in size and position.

    Args:
        size: height and width of the images.
        fraction: largest fraction of the side that is cut away.
        drawn: [n, 3] float32 in [0, 1), for each window's side, its top and its left edge.

    Returns:
        Side, top and left edge of each window: [n] int64.
    """
    smallest = max(1, size - int(size * fraction))
    side = smallest + _whole(drawn[:, 0], np.full(len(drawn), size - smallest + 1))
    return side, _whole(drawn[:, 1], size - side + 1), _whole(drawn[:, 2], size - side + 1)


def _whole(drawn: Floats, count: Places) -> Places:
    """Map random numbers in [0, 1) to integers in 0..count - 1: [n] each."""
    return (drawn * count.astype(np.float32)).astype(np.int64)


def _crop(plane: Floats, spare: Floats, side: Places, top: Places, left: Places) -> None:
    """Resize each image's window to the image's size, bilinearly.

    Args:
        plane: [n, size, size] float32, one colour, first across and then down; overwritten by the result, first down
            and then across, neither rounded nor clipped.
        spare: two or more arrays of this shape, overwritten.
        side: [n] int64, the windows' sides.
        top: [n] int64, their top edges.
        left: [n] int64, their left edges.
    """
    _resize(plane, left, side, spare[0], spare[1])
    plane[...] = spare[0].swapaxes(1, 2)
    _resize(plane, top, side, spare[0], spare[1])
    plane[...] = spare[0]


def _resize(rows: Floats, start: Places, side: Places, out: Floats, spare: Floats) -> None:
    """Resize a range of each image's rows to all rows: as `tf.image.resize`, bilinearly and without antialiasing.

    Args:
        rows: [n, size, size] float32.
        start: [n] int64, where the ranges start.
        side: [n] int64, their lengths.
        out: [n, size, size] float32, for the result.
        spare: [n, size, size] float32, overwritten.
    """
    count, size, _ = rows.shape
    scale = side.astype(np.float32) / np.float32(size)
    centres = (np.arange(size, dtype=np.float32) + _HALF) * scale[:, None] - _HALF  # [n, size]
    below = np.floor(centres)
    lower = np.maximum(below.astype(np.int64), 0)
    upper = np.minimum(np.ceil(centres).astype(np.int64), side[:, None] - 1)
    first = (start + size * np.arange(count))[:, None]
    for places, values in ((lower, spare), (upper, out)):
        rows.reshape(-1, size).take(first + places, axis=0, out=values, mode="clip")  # mode raise would make a copy
    out -= spare
    out *= (centres - below)[..., None]
    out += spare


def _recolour(planes: Floats, spare: Floats, factors: Floats) -> None:
    """Multiply brightness, contrast and saturation by one factor each, as Pillow's ImageEnhance defines them, in place.

    Args:
        planes: [3, n, size, size] float32, 0..255; neither rounded nor clipped afterwards.
        spare: as `planes`, overwritten.
        factors: [n, 3] float32: brightness, contrast, saturation.
    """
    bright, contrast, saturation = factors.T[..., None, None]
    planes *= bright
    grey = _grey(planes, spare)
    lines = np.rint(grey, out=grey).sum(axis=1)  # of whole numbers below 2^24, so exact in any order
    mean = lines.sum(axis=1, dtype=np.float64) / (planes.shape[2] * planes.shape[3])
    _stretch(planes, mean.astype(np.float32)[:, None, None], contrast)
    _stretch(planes, _grey(planes, spare), saturation)


def _stretch(planes: Floats, middle: Floats, factor: Floats) -> None:
    """Multiply the distance from `middle` by `factor`, in place."""
    planes -= middle
    planes *= factor
    planes += middle


def _grey(planes: Floats, spare: Floats) -> Floats:
    """Grey levels: [3, n, size, size] float32 to [n, size, size] float32, a part of `spare`."""
    np.multiply(planes, _LUMA[:, None, None, None], out=spare)
    grey: Floats = spare[0]
    grey += spare[1]
    grey += spare[2]
    return grey
