"""The evidence that the gate decides on, as the steps write it, and helpers to read a decision."""

import copy
import json

from frostline.evaluation.compare import mcnemar, paired_difference
from frostline.evaluation.intervals import wilson
from frostline.freeze.certificate import seal
from frostline.gating import decision, review
from frostline.gating.config import GateConfig

CONFIG = GateConfig(min_accuracy=0.8)
CERTIFICATE = seal(
    {
        "verified": True,
        "frozen_tensors": 12,
        "moved": [],
        "model_digest": "new",
        "phases": [{"verified": True, "moved": []}],
    }
)
VALIDATION = {"valid": True, "problems": [], "warnings": []}


def pairs(both, only_challenger, only_champion, neither):
    total = both + only_challenger + only_champion + neither
    return {
        "examples": total,
        "both_right": both,
        "only_challenger_right": only_challenger,
        "only_champion_right": only_champion,
        "both_wrong": neither,
        "accuracy": wilson(both + only_champion, total, 0.95),
        "challenger_accuracy": wilson(both + only_challenger, total, 0.95),
        "difference": paired_difference(both, only_challenger, only_champion, neither, 0.95),
        "p_better": mcnemar(only_challenger, only_champion),
    }


def champion(both, only_challenger, only_champion, neither, **changes):
    """A comparison, with one class and one metadata slice that are all of it."""
    counts = pairs(both, only_challenger, only_champion, neither)
    return {
        "version": 3,
        "manifest_digest": "b" * 64,
        "model_digest": "old",
        "comparable": True,
        "reason": "",
        "excluded": 0,
        "made_with": 0,
        "new_labels": [],
        **counts,
        "slices": [
            {"column": "true label", "value": "cat", **counts},
            {"column": "camera", "value": "field", **counts},
        ],
        **changes,
    }


def row(label, correct, examples):
    return {"label": label, "examples": examples, "recall": wilson(correct, examples, 0.95) if examples else None}


def part(column, value, correct, examples):
    return {"column": column, "value": value, "examples": examples, "accuracy": wilson(correct, examples, 0.95)}


def evaluated(correct=950, total=1000, champion=None, **changes):
    """evaluation.json of a good model, of two classes and one metadata slice, unless `changes`."""
    cats = total // 2
    rows = changes.get("per_class", [row("cat", correct // 2, cats), row("dog", correct - correct // 2, total - cats)])
    hits = [round(one["recall"]["value"] * one["examples"]) if one["recall"] else 0 for one in rows]
    if sum(one["examples"] for one in rows) == total:
        correct = sum(hits)
    misses = [one["examples"] - hit for one, hit in zip(rows, hits, strict=True)]
    places = range(len(rows))
    return {
        "labels": [one["label"] for one in rows],
        "confusion": [
            [hits[i] if i == j else misses[i] if j == (i + 1) % len(rows) else 0 for j in places] for i in places
        ],
        "model_digest": "new",
        "examples": total,
        "confidence": 0.95,
        "test_split": split(),
        "accuracy": wilson(correct, total, 0.95),
        "calibration_error": {"value": 0.03, "low": 0.02, "high": 0.04, "method": "basic bootstrap", "at_most": 0.04},
        "per_class": rows,
        "slices": [part("camera", "field", correct, total)],
        "serving": {"latency": [{"batch": 32, "p95": 900.0}, {"batch": 1, "p95": 40.0}], "size_bytes": 85_000_000},
        "skew": {"images": min(500, total), "agreement": 1.0, "max_difference": 1e-6},
        "leaked": 0,
        "champion": champion,
        "reference": None if champion is None else reference(champion),
        **changes,
    }


def split(attempts=0, held=0, looks=0.0, reference_looks=0.0):
    """How the test images were used before."""
    counts = {"attempts": attempts, "held": held, "looks": looks, "reference_looks": reference_looks}
    return {"digest": "e" * 64, "promotions": 0, **counts}


def reference(champion, **changes):
    """A comparison as that with the reference; unless `changes`, it is the champion."""
    return {**copy.deepcopy(champion), "pinned": False, "stored": False, "replaces": "", **changes}


EVALUATION = evaluated(champion=champion(940, 10, 5, 45))


def decide(evaluation=EVALUATION, certificate=CERTIFICATE, validation=VALIDATION, config=CONFIG, **limits):
    """The decision, which can always be written and read by people; `limits` change the configuration."""
    decided = decision.decide(evaluation, certificate, validation, GateConfig(**{**config.model_dump(), **limits}))
    json.dumps(decided, allow_nan=False)
    assert review.as_markdown(decided).startswith("# ")
    assert all("\n" not in text for text in (decided["reason"], *decided["notes"]))
    return decided


def check(decided, name):
    return next(item for item in decided["checks"] if item["name"] == name)


def changed(document, path, value):
    """A copy with one value replaced, or removed if the value is KeyError."""
    result = copy.deepcopy(document)
    target = result
    for key in path[:-1]:
        target = target[key]
    if value is KeyError:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return result
