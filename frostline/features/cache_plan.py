"""Whether, and where, the features of the frozen prefix are kept: decided before training, by arithmetic alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from frostline.artifacts import Json
from frostline.data.config import AugmentConfig
from frostline.errors import ConfigError
from frostline.features.config import CacheConfig
from frostline.freeze.phases import Phase
from frostline.text import size_words

# Nominal rates, for a decision that is the same on every machine. InceptionV3 ran at 190e9 FLOP/s on two CPU cores;
# most networks stay below it, and a faster device reads its batches from the same disk.
_COMPUTE = 100e9  # FLOP/s of a forward pass
_READ = 1e9  # bytes/s out of the cache
_DECODE = 30e-9  # seconds a pixel, to decode and resize a stored PNG
PLAIN = -1  # the view of images as they are: of the validation split, and of training where nothing is varied
_ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Use:
    """What is kept for one phase.

    Attributes:
        phase: its number.
        layer: where the cache is read; empty for not at all.
        views: variants of each training image that the phase sees.
        bytes: that its features take, training and validation; an earlier phase with the same layer shares them.
        passes_saved: forward passes of the prefix over the training split that are not run.
        reason: the arithmetic, one line for people.
    """

    phase: int
    layer: str
    views: int
    bytes: int
    passes_saved: int
    reason: str


@dataclass(frozen=True)
class _Place:
    """A layer whose output can be kept: its row for one image, and what it costs to compute and to read one."""

    layer: str
    row_bytes: int
    compute_seconds: float
    read_seconds: float


def views_of_run(schedule: Sequence[Phase], augment: AugmentConfig) -> int:
    """Number of variants of each training image: an epoch, counted from 0 over the whole run, sees view epoch mod it.

    1 where images are not varied; with `views: 0` as many as there are epochs, and never more.
    """
    epochs = sum(phase.epochs for phase in schedule)
    return min(augment.views or epochs, epochs) if augment.active else 1


def views_by_phase(schedule: Sequence[Phase], augment: AugmentConfig) -> tuple[tuple[int, ...], ...]:
    """The view that each epoch sees, phase by phase."""
    views, found, start = views_of_run(schedule, augment), [], 0
    for phase in schedule:
        found.append(tuple(epoch % views for epoch in range(start, start + phase.epochs)))
        start += phase.epochs
    return tuple(found)


def needed(uses: Sequence[Use], schedule: Sequence[Phase], augment: AugmentConfig) -> list[tuple[str, int]]:
    """Layer and view (or PLAIN) of each set of features that the phases read, in the order in which they do."""
    wanted: dict[tuple[str, int], None] = {}
    for use, views in zip(uses, views_by_phase(schedule, augment), strict=True):
        if use.layer:
            wanted |= {(use.layer, view): None for view in (PLAIN, *(views if augment.active else ()))}
    return list(wanted)


def decide(
    plan: Json, schedule: Sequence[Phase], totals: Mapping[str, int], cache: CacheConfig, augment: AugmentConfig
) -> tuple[Use, ...]:
    """Decide for each phase: a pure function of its arguments.

    Phases are taken in order. One is read from the cache if it has a frozen prefix that holds the source's weights
    (`Phase.reusable`), passes are saved, a row is read faster than computed, and its features fit beside those of the
    phases before. With `require` only the first of these counts, and the fit.

    Args:
        plan: the freeze plan.
        schedule: its phases.
        totals: images by split: train, validation.
        cache: mode, type of the features, limit.
        augment: how many variants of each training image there are.

    Raises:
        ConfigError: the cache is required, and no phase has a frozen prefix, or the features exceed the limit.
    """
    if cache.mode == "require" and not any(phase.reusable for phase in schedule):
        raise ConfigError("cache", "require", "no phase has a frozen prefix; use auto, or freeze the first blocks")
    places, seen = _places(plan, cache), views_by_phase(schedule, augment)
    readers: Counter[tuple[str, int]] = Counter(  # epochs that want the same features
        (phase.reusable, view) for phase, views in zip(schedule, seen, strict=True) for view in views
    )
    kept: dict[str, set[int]] = {}  # views, by layer
    uses = []
    for phase, views in zip(schedule, seen, strict=True):
        place = places.get(phase.reusable)
        why_not = _why_not(place, cache, [readers[phase.reusable, view] for view in views], totals)
        if place and not why_not:
            after = {**kept, place.layer: kept.get(place.layer, set()) | set(views)}
            total = sum(_bytes(places[layer], some, totals) for layer, some in after.items())
            if total <= cache.limit_gb * 1e9:
                uses.append(_use(phase, place, views, kept.get(place.layer), totals))
                kept = after
                continue
            why_not = _too_large(phase, place, total, cache)
        uses.append(Use(phase.number, "", len(set(views)), 0, 0, why_not))
    return tuple(uses)


def _places(plan: Json, cache: CacheConfig) -> dict[str, _Place]:
    """The boundaries of all phases, by layer."""
    decode, found = _DECODE * plan["image_size"] ** 2, {}
    for boundary in (plan["boundary"], *(phase["boundary"] for phase in plan["phases"])):
        if boundary:
            row, layer = math.prod(boundary["shape"]) * _ITEM_BYTES[cache.dtype], boundary["layer"]
            found[layer] = _Place(layer, row, boundary["flops_below"] / _COMPUTE + decode, row / _READ)
    return found


def _bytes(place: _Place, views: Collection[int], totals: Mapping[str, int]) -> int:
    return (totals["train"] * len(set(views)) + totals["validation"]) * place.row_bytes


def _why_not(place: _Place | None, cache: CacheConfig, readers: Sequence[int], totals: Mapping[str, int]) -> str:
    """Why a phase is not read from the cache, whatever its features take; nothing where it is.

    `readers` has, for each of its epochs, how many epochs of the run could read that epoch's features.
    """
    if cache.mode == "off":
        return "cache: off"
    if place is None:
        return "no frozen prefix that holds the source's weights"
    if cache.mode == "require":
        return ""
    if max(readers) == 1:
        validation = f"; only {len(readers) - 1} of {len(readers)} over the validation split would be"
        return (
            f"features at {place.layer}: 0 of {len(readers)} passes over the training split saved, each would be read "
            f"once{validation if len(readers) > 1 and totals['validation'] else ''}"
        )
    if place.read_seconds > place.compute_seconds:
        return (
            f"features at {place.layer}: reading {size_words(place.row_bytes)} takes {1e3 * place.read_seconds:.2g} "
            f"ms an image, computing them {1e3 * place.compute_seconds:.2g} ms, at nominal rates"
        )
    return ""


def _too_large(phase: Phase, place: _Place, total: int, cache: CacheConfig) -> str:
    message = f"phase {phase.number}: with its features at {place.layer} the cache takes {size_words(total)}"
    limit = f"cache.limit_gb is {cache.limit_gb:g}"
    if cache.mode == "require":
        raise ConfigError(
            "cache", "require", f"{message}, and {limit}; raise it, or take fewer views or a smaller dtype"
        )
    return f"{message}, and {limit}"


def _use(phase: Phase, place: _Place, views: Sequence[int], kept: set[int] | None, totals: Mapping[str, int]) -> Use:
    """A phase that is read from the cache, in which `kept` views, if any, are from phases before."""
    distinct, amount = len(set(views)), _bytes(place, views, totals)
    epochs, saved = phase.epochs, phase.epochs - len(set(views) - (kept or set()))
    validation = epochs - (kept is None)
    if distinct == 1:
        images = f"{totals['train'] + totals['validation']} images x 1 view"
    else:
        images = f"({totals['train']} images x {distinct} views + {totals['validation']})"
    reason = (
        f"features at {place.layer}: {images} x {size_words(place.row_bytes)} = {size_words(amount)}"
        f"{', shared with phases before' if kept else ''}; {saved} of {epochs} passes saved"
    )
    if totals["validation"] and validation != saved:
        reason += f", {validation} of {epochs} over the validation split"
    return Use(phase.number, place.layer, distinct, amount, saved, reason)
