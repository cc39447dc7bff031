"""What a training tells of itself: training.json, the certificate's neighbour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from frostline.artifacts import Json
from frostline.features.cache_plan import Use
from frostline.telemetry import bound
from frostline.text import size_words
from frostline.training.fit import State


def make(
    state: State,
    uses: Sequence[Use],
    sets: Sequence[Json],
    verdicts: Mapping[str, Json],
    computed: int,
    resumed_from: int | None,
    replicas: int,
    memory: Json,
) -> Json:
    """The document.

    Args:
        state: of the finished training.
        uses: what was decided about the cache, by phase.
        sets: what was read from it.
        verdicts: by layer, what its features are computed in.
        computed: images that the train step itself sent through the frozen prefix before training.
        resumed_from: step of the checkpoint that it went on from; None: from the start.
        replicas: number of them.
        memory: peak, in bytes.

    Returns:
        phases, cache, equality, prefix_images, resumed_from, replicas, memory, and sentences for people.
    """
    phases = [_phase(use, [row for row in state.history if row["phase"] == use.phase], state) for use in uses]
    return {
        "phases": phases,
        "cache": list(sets),
        "precision": dict(verdicts),
        "equality": [proof for proof in state.proofs if proof],
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
            *(_equality(proof) for proof in state.proofs if proof),
            *([] if resumed_from is None else [f"Training went on from the checkpoint of step {resumed_from}."]),
            f"Peak memory of the process: {size_words(memory['host_bytes'])}.",
        ],
    }


def _phase(use: Use, rows: Sequence[Json], state: State) -> Json:
    seconds = sum(row["seconds"] for row in rows)
    waited = sum(row["seconds"] * row["input_wait"] for row in rows) / max(seconds, 1e-9)
    images = sum(row["seconds"] * row["images_per_second"] for row in rows) / max(seconds, 1e-9)
    return {
        **asdict(use),
        "epochs": len(rows),
        "seconds": round(seconds, 3),
        "images_per_second": round(images, 1),
        "input_wait": round(waited, 4),
        "bound": bound(waited, bool(use.layer)),
    }


def _equality(proof: Json) -> str:
    return (
        f"On {proof['images']} images the whole model and what lies above {proof['layer']} on cached features give "
        f"probabilities that differ by at most {proof['max_difference']:.1g}; {100 * proof['agreement']:.0f} % of the "
        "predictions agree."
    )
