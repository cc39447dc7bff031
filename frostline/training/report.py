"""The content of training.json: what a training did, in numbers and in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frostline.documents.features import PrecisionVerdict
from frostline.documents.training import CachedSet, EpochRow, Equivalence, Memory, PhaseReport, TrainingReport
from frostline.features.cache_plan import Use
from frostline.text import size_words
from frostline.training.state import State
from frostline.training.telemetry import bound


def make(
    state: State,
    uses: Sequence[Use],
    sets: Sequence[CachedSet],
    verdicts: Mapping[str, PrecisionVerdict],
    *,
    fingerprint: str,
    computed: int,
    resumed_from: int | None,
    replicas: int,
    memory: Memory,
) -> TrainingReport:
    """Summarise a finished training.

    Args:
        state: at its end.
        uses: what was decided about the cache, by phase.
        sets: features that were read from it.
        verdicts: compute type of the features, by layer.
        fingerprint: digest of everything that the trained bits depend on.
        computed: images that the train step itself sent through the frozen prefix.
        resumed_from: step of the checkpoint that training resumed from; None if it did not.
        replicas: number of replicas.
        memory: peak, in bytes.
    """
    phases = [_phase(use, [row for row in state.history if row["phase"] == use.phase]) for use in uses]
    compared = [one for one in state.proofs if one]
    return {
        "phases": phases,
        "cache": list(sets),
        "precision": dict(verdicts),
        "equality": compared,
        "fingerprint": fingerprint,
        "prefix_images": computed,
        "resumed_from": resumed_from,
        "replicas": replicas,
        "memory": memory,
        "sentences": [
            *(f"Phase {part['phase']}: {part['reason']}; {part['bound']}." for part in phases),
            *(
                f"The prefix up to {layer} computes in {one['computed_in']}: {one['reason']}."
                for layer, one in verdicts.items()
            ),
            *map(_equivalence, compared),
            *([] if resumed_from is None else [f"Training resumed from the checkpoint at step {resumed_from}."]),
            f"Peak memory of the process: {size_words(memory['host_bytes'])}.",
        ],
    }


def _phase(use: Use, rows: Sequence[EpochRow]) -> PhaseReport:
    seconds = sum(row["seconds"] for row in rows)
    waited = sum(row["seconds"] * row["input_wait"] for row in rows) / max(seconds, 1e-9)
    images = sum(row["seconds"] * row["images_per_second"] for row in rows) / max(seconds, 1e-9)
    return {
        **use.document(),
        "epochs": len(rows),
        "seconds": round(seconds, 3),
        "images_per_second": round(images, 1),
        "input_wait": round(waited, 4),
        "bound": bound(waited, bool(use.layer)),
    }


def _equivalence(found: Equivalence) -> str:
    return (
        f"On {found['images']} images, the whole model and the part above {found['layer']} on cached features agree in "
        f"{100 * found['agreement']:.0f} % of the predictions; probabilities differ by at most "
        f"{found['max_difference']:.1g}."
    )
