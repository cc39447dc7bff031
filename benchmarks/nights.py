"""What the gate lets happen in a hundred nights, by simulated chains of champions: `benchmarks/gate.py --nights`.

The test images stay the same, so the luck of a champion on them is part of every comparison with it. Each model is
decided by the gate's own checks, before and after there was a reference. Models come about in two ways:

- `trained anew`: each image has a difficulty, z, and a model of true accuracy p is correct on it if
  sqrt(C) z + sqrt(1 - C) e is below the p-quantile of the normal distribution, with its own e for each image. C, 0.943,
  is the correlation of two models; two of 90 % disagree on 5 % of the images.
- `fine-tuned from the champion`: a model is right where the champion is wrong, or the reverse, on 8 % of the images, so
  the distance to the first one grows.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

from frostline.evaluation import compare
from frostline.gating import champion, drift
from frostline.gating.config import GateConfig

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support import evaluations, rates

IMAGES, START, NIGHTS = 2_000, 0.9, 100
CORRELATION, CHANGED = 0.943, 0.08
KINDS = ("trained anew", "fine-tuned from the champion")
SCENARIOS: dict[str, float | str] = {
    "each model 0.25 points worse than the champion": 0.0025,
    "each model 0.5 points worse than the champion": 0.005,
    "data that rot by 0.1 point a night": "rot",
    "equal models": 0.0,
}
GAINS = (0.005, 0.01, 0.02, 0.03)
BEFORE, AFTER = GateConfig(drift_margin=0.0), GateConfig()


def nights(histories: int) -> dict[str, Any]:
    """The tables, for as many histories each."""
    budget = AFTER.most_drift + AFTER.margin
    return {
        "images": IMAGES,
        "histories": histories,
        "budget_and_one_margin_points": 100 * budget,
        **{kind: _tables(kind, histories, budget) for kind in KINDS},
        "a_slice_that_lost_40_points_is_flagged_%": _slices(),
    }


def _tables(kind: str, histories: int, budget: float) -> dict[str, Any]:
    return {
        "after_100_nights": {
            name: {
                when: _summary(*_run(kind, histories, worse, config)[:2], budget)
                for when, config in (("before", BEFORE), ("after", AFTER))
            }
            for name, worse in SCENARIOS.items()
        },
        "a_better_model_is_promoted_%": {
            f"after {passed} nights of equal models": {
                f"{100 * gain:g} points": {
                    when: round(100 * float(_run(kind, histories, 0.0, config, passed, gain)[2].mean()), 1)
                    for when, config in (("before", BEFORE), ("after", AFTER))
                }
                for gain in GAINS
            }
            for passed in (0, 20, NIGHTS - 1)
        },
    }


def _run(
    kind: str, histories: int, worse: float | str, config: GateConfig, length: int = NIGHTS, gain: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True accuracy of the last champion, promotions, and whether the last model was promoted, [histories] each."""
    accuracy, promotions, last = np.empty(histories), np.zeros(histories, np.int64), np.zeros(histories, bool)
    for number in range(histories):
        chain = _Chain(kind, np.random.default_rng(number), config)
        for night in range(1, length + 1):
            promotions[number] += chain.decide(
                START - 0.001 * night if isinstance(worse, str) else chain.accuracy - worse
            )
        if gain is not None:
            last[number] = chain.decide(START + gain)
        accuracy[number] = chain.accuracy
    return accuracy, promotions, last


class _Chain:
    """One history: which images the champion and the reference are correct on, and the champion's true accuracy."""

    def __init__(self, kind: str, random: np.random.Generator, config: GateConfig) -> None:
        self.kind, self.random, self.config, self.accuracy = kind, random, config, START
        self.difficulty = np.sqrt(CORRELATION) * random.normal(size=IMAGES)
        self.champion = self.reference = self._train(START)
        self.is_reference, self.decisions = True, 0

    def decide(self, accuracy: float) -> bool:
        """Evaluate a model of this true accuracy; return whether it replaces the champion."""
        model = self._train(accuracy) if self.kind == KINDS[0] else self._fine_tune(accuracy)
        promoted, becomes = _decide(
            *_counts(model, self.champion), *_counts(model, self.reference), self.is_reference, self.decisions,
            self.config,
        )  # fmt: skip
        self.decisions += 1
        if promoted:
            self.champion, self.accuracy, self.is_reference = model, accuracy, becomes
            if becomes:
                self.reference, self.decisions = model, 0
        return promoted

    def _train(self, accuracy: float) -> np.ndarray:
        noise = np.sqrt(1 - CORRELATION) * self.random.normal(size=IMAGES)
        return np.asarray(self.difficulty + noise < ndtri(accuracy))

    def _fine_tune(self, accuracy: float) -> np.ndarray:
        gain, changed = accuracy - self.accuracy, max(CHANGED, abs(accuracy - self.accuracy))
        lost = (changed - gain) / 2 / self.accuracy  # of the images that the champion is correct on
        won = (changed + gain) / 2 / (1 - self.accuracy)
        drawn = self.random.random(IMAGES)
        return np.where(self.champion, drawn >= lost, drawn < won)


def _counts(model: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    return int(np.count_nonzero(model & ~other)), int(np.count_nonzero(~model & other))


@functools.cache
def _decide(
    wins: int, losses: int, reference_wins: int, reference_losses: int, is_reference: bool, decisions: int,
    config: GateConfig,
) -> tuple[bool, bool]:  # fmt: skip
    """Whether the gate's checks of champion and drift pass, and whether the model becomes the reference."""
    against = _compared(wins, losses)
    other = against if is_reference else {**_compared(reference_wins, reference_losses), "version": 1}
    use = evaluations.split(decisions, looks=float(decisions), reference_looks=float(decisions))
    evaluation = evaluations.evaluated(
        IMAGES, IMAGES, champion=against, reference=evaluations.reference(other), test_split=use
    )
    checks = champion.champion(evaluation, config), drift.drift(evaluation, config)
    promoted = all(check.verdict == "pass" for check in checks)
    return promoted, promoted and drift.becomes_reference(evaluation, config)


def _compared(wins: int, losses: int) -> dict[str, Any]:
    return dict(evaluations.champion(IMAGES - wins - losses, wins, losses, 0))


def _summary(accuracy: np.ndarray, promotions: np.ndarray, budget: float) -> dict[str, float]:
    return {
        "true_accuracy_%": round(100 * float(accuracy.mean()), 1),
        "lowest_%": round(100 * float(accuracy.min()), 1),
        "promotions": round(float(promotions.mean()), 1),
        "histories_within_the_budget_%": round(100 * float((accuracy >= START - budget - 1e-9).mean()), 1),
    }


def _slices() -> dict[str, dict[str, dict[str, float | None]]]:
    """By images per slice and further columns of 50 values: Bonferroni over all slices, against Holm by column."""
    margin, error, own = AFTER.slice_margin, 1 - AFTER.confidence, 10
    return {
        f"{images} images, one of {own} slices": {
            f"{further} further columns": {
                "before": _flagged(images, error / (own + 50 * further), margin),
                "after": _flagged(images, error / own, margin),
                "smallest loss in points": _points(compare.smallest_loss(images, margin, error / own)),
            }
            for further in (0, 1, 4)
        }
        for images in (10, 20, 50, 100)
    }


def _flagged(images: int, level: float, margin: float) -> float:
    """For a slice on which the model wins 2 % and loses 42 % of the images; the rule holds for more losses, too."""

    def rule(losses: int, wins: int) -> bool:
        return compare.worse_than(wins, losses, images, margin) <= level

    return float(round(100 * rates.probability(images, 0.42, 0.02, rule), 1))


def _points(loss: float | None) -> float | None:
    return None if loss is None else round(100 * loss, 1)
