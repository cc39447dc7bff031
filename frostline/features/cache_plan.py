"""Decides, phase by phase and by arithmetic alone, whether and where features of the frozen prefix are cached."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from frostline.data.config import AugmentConfig
from frostline.documents.features import CacheUse
from frostline.documents.freeze import FreezePlan
from frostline.errors import ConfigError
from frostline.features.config import CacheConfig
from frostline.freeze.phases import Phase, boundaries
from frostline.text import size_words

# Nominal rates, so that the decision is the same on every machine. InceptionV3 ran at 190e9 FLOP/s on two CPU cores;
# most networks are slower, and a faster device reads batches from the same disk.
_COMPUTE = 100e9  # FLOP/s of a forward pass
_READ = 1e9  # bytes/s from the cache
_DECODE = 30e-9  # seconds per pixel to decode and resize a stored PNG
PLAIN = -1  # the view of unaugmented images: of the validation split, and of training without augmentation
_ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Use:
    """What is cached for one phase.

    Attributes:
        phase: its number.
        layer: the layer whose output is cached; empty if nothing is.
        views: variants of each training image in the phase.
        bytes: size of its features, training and validation; earlier phases with the same layer share them.
        passes_saved: forward passes of the prefix over the training split that are saved.
        reason: the arithmetic in one line.
    """

    phase: int
    layer: str
    views: int
    bytes: int
    passes_saved: int
    reason: str

    def document(self) -> CacheUse:
        """As JSON."""
        return {
            "phase": self.phase,
            "layer": self.layer,
            "views": self.views,
            "bytes": self.bytes,
            "passes_saved": self.passes_saved,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class _Place:
    """A layer whose output can be cached: bytes of a row, and seconds to compute and to read one."""

    layer: str
    row_bytes: int
    compute_seconds: float
    read_seconds: float


def views_of_run(schedule: Sequence[Phase], augment: AugmentConfig) -> int:
    """Number of variants of each training image; epoch e, counted from 0 over the run, uses view e mod this number.

    It is 1 without augmentation, and with `views: 0` the number of epochs, which it never exceeds.
    """
    epochs = sum(phase.epochs for phase in schedule)
    return min(augment.views or epochs, epochs) if augment.active else 1


def views_by_phase(schedule: Sequence[Phase], augment: AugmentConfig) -> tuple[tuple[int, ...], ...]:
    """The view of each epoch, phase by phase."""
    views, found, start = views_of_run(schedule, augment), [], 0
    for phase in schedule:
        found.append(tuple(epoch % views for epoch in range(start, start + phase.epochs)))
        start += phase.epochs
    return tuple(found)


def needed(uses: Sequence[Use], schedule: Sequence[Phase], augment: AugmentConfig) -> list[tuple[str, int]]:
    """Layer and view (or PLAIN) of each set of features that the phases read, in reading order."""
    wanted: dict[tuple[str, int], None] = {}
    for use, views in zip(uses, views_by_phase(schedule, augment), strict=True):
        if use.layer:
            wanted |= {(use.layer, view): None for view in (PLAIN, *(views if augment.active else ()))}
    return list(wanted)


def decide(
    plan: FreezePlan, schedule: Sequence[Phase], totals: Mapping[str, int], cache: CacheConfig, augment: AugmentConfig
) -> tuple[Use, ...]:
    """Decide for each phase, in order: a pure function of its arguments.

    A phase uses the cache if it has a frozen prefix with the source's weights (`Phase.reusable`), passes are saved, a
    row is read faster than computed, and its features fit the limit together with those of earlier phases. `require`
    demands only the prefix and the fit.

    Args:
        plan: the freeze plan.
        schedule: its phases.
        totals: number of images by split: train, validation.
        cache: mode, storage type, limit.
        augment: the number of variants of each training image.

    Raises:
        ConfigError: the cache is required, but no phase has a frozen prefix or the features exceed the limit.
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
            if total <= cache.limit_bytes:
                uses.append(_use(phase, place, views, kept.get(place.layer), totals))
                kept = after
                continue
            why_not = _too_large(phase, place, total, cache)
        uses.append(Use(phase.number, "", len(set(views)), 0, 0, why_not))
    return tuple(uses)


def _places(plan: FreezePlan, cache: CacheConfig) -> dict[str, _Place]:
    """Boundaries of all phases, by layer."""
    decode, found = _DECODE * plan["image_size"] ** 2, {}
    for boundary in boundaries(plan):
        if boundary:
            row, layer = math.prod(boundary["shape"]) * _ITEM_BYTES[cache.dtype], boundary["layer"]
            found[layer] = _Place(layer, row, boundary["flops_below"] / _COMPUTE + decode, row / _READ)
    return found


def _bytes(place: _Place, views: Collection[int], totals: Mapping[str, int]) -> int:
    return (totals["train"] * len(set(views)) + totals["validation"]) * place.row_bytes


def _why_not(place: _Place | None, cache: CacheConfig, readers: Sequence[int], totals: Mapping[str, int]) -> str:
    """Why a phase does not use the cache, regardless of the limit; empty if it does.

    `readers` has, for each of its epochs, the number of epochs of the run that could read the same features.
    """
    if cache.mode == "off":
        return "cache: off"
    if place is None:
        return "no frozen prefix with the source's weights"
    if cache.mode == "require":
        return ""
    if max(readers) == 1:
        validation = f"; only {len(readers) - 1} of {len(readers)} over the validation split would be saved"
        return (
            f"features at {place.layer}: 0 of {len(readers)} passes over the training split saved, because each view "
            f"is read once{validation if len(readers) > 1 and totals['validation'] else ''}"
        )
    if place.read_seconds > place.compute_seconds:
        return (
            f"features at {place.layer}: reading {size_words(place.row_bytes)} takes {1e3 * place.read_seconds:.2g} "
            f"ms per image, computing them {1e3 * place.compute_seconds:.2g} ms, at nominal rates"
        )
    return ""


def _too_large(phase: Phase, place: _Place, total: int, cache: CacheConfig) -> str:
    message = f"phase {phase.number}: with its features at {place.layer} the cache needs {size_words(total)}"
    limit = f"cache.limit_gb is {cache.limit_gb:g}"
    if cache.mode == "require":
        raise ConfigError(
            "cache", "require", f"{message}, and {limit}; raise the limit, or use fewer views or a smaller dtype"
        )
    return f"{message}, and {limit}"


def _use(phase: Phase, place: _Place, views: Sequence[int], kept: set[int] | None, totals: Mapping[str, int]) -> Use:
    """A phase that uses the cache; `kept` are views that earlier phases have cached, if any."""
    distinct, amount = len(set(views)), _bytes(place, views, totals)
    epochs, saved = phase.epochs, phase.epochs - len(set(views) - (kept or set()))
    validation = epochs - (kept is None)
    if distinct == 1:
        images = f"{totals['train'] + totals['validation']} images x 1 view"
    else:
        images = f"({totals['train']} images x {distinct} views + {totals['validation']})"
    reason = (
        f"features at {place.layer}: {images} x {size_words(place.row_bytes)} = {size_words(amount)}"
        f"{', shared with earlier phases' if kept else ''}; {saved} of {epochs} passes saved"
    )
    if totals["validation"] and validation != saved:
        reason += f", {validation} of {epochs} over the validation split"
    return Use(phase.number, place.layer, distinct, amount, saved, reason)
