"""The documents that a report is made from, as the steps write them, with any names."""

import base64
import io
import math

import numpy as np
from PIL import Image

from frostline.freeze.config import FreezeConfig
from frostline.freeze.graph import Layer, LayerGraph
from frostline.freeze.plan import make_plan
from frostline.section import parse

from tests.support import evaluations

LABELS = ("daisy", "dandelion", "rose", "sunflower", "tulip")
HISTORY = [
    {
        "epoch": n + 1,
        "phase": 1 + (n > 4),
        "loss": 1.4 / (n + 1),
        "accuracy": 1 - 0.5 / (n + 1),
        "validation_loss": 0.4 + 1.1 / (n + 1),
        "validation_accuracy": 0.9 - 0.4 / (n + 1),
    }
    for n in range(8)
]

FOUR_EPOCHS = [
    {
        "epoch": n,
        "phase": 1 + (n > 2),
        "loss": 2.0 / n,
        "accuracy": n / 4,
        "validation_loss": 1.0,
        "validation_accuracy": 0.5,
    }
    for n in (1, 2, 3, 4)
]


def interval(value, half=0.02, lowest=0.0, highest=1.0, method="wilson"):
    return {"value": value, "low": max(lowest, value - half), "high": min(highest, value + half), "method": method}


def plan(backbone="Toy", **section):
    """The plan of a graph of two blocks; the first is frozen unless the section says otherwise."""
    layers = [Layer("in", "InputLayer", (), 0), Layer("a", "Dense", (0,), 10, 30), Layer("b", "Dense", (0,), 30, 60)]
    graph = LayerGraph((*layers, Layer("sum", "Add", (1, 2), 0, shape=(5, 6)), Layer("out", "Dense", (3,), 60, 30)))
    section = section or {"through": "block1"}
    return make_plan(graph, parse(FreezeConfig, section), backbone=backbone, image_size=32)


def comparison(both, only_new, only_old, neither):
    total = both + only_new + only_old + neither
    difference = (only_new - only_old) / total
    half = 1.96 * math.sqrt(only_new + only_old + 1) / total
    return {
        "examples": total,
        "both_right": both,
        "only_challenger_right": only_new,
        "only_champion_right": only_old,
        "both_wrong": neither,
        "accuracy": interval((both + only_old) / total),
        "challenger_accuracy": interval((both + only_new) / total),
        "difference": interval(difference, half, -1.0, method="newcombe_paired_10"),
        "one_sided": {"low": difference - 0.9 * half, "high": difference + 0.9 * half},
        "bootstrap": interval(difference, half, -1.0, method="bootstrap"),
        "p_better": 0.013,
        "p_worse": 0.992,
        "p_value": 0.026,
    }


def champion(labels=LABELS, values=("field", "studio")):
    slices = [
        {"column": "true label", "value": label, **comparison(150, 12 - 3 * n % 11, 3 + 2 * n % 9, 20)}
        for n, label in enumerate(labels)
    ]
    slices += [{"column": "camera", "value": value, **comparison(400, 14, 9, 60)} for value in values]
    return {
        "version": 3,
        "manifest_digest": "b" * 64,
        "promotion": "000003-0a1b2c3d",
        "model_digest": "c" * 64,
        "comparable": True,
        "reason": "",
        "excluded": 12,
        "made_with": 9,
        "new_labels": [],
        **comparison(720, 41, 22, 80),
        "log_loss_difference": interval(-0.0312, 0.021, -9.0, 9.0, "normal"),
        "slices": slices,
    }


def confusion(classes):
    counts = np.random.default_rng(0).integers(0, 9, (classes, classes))
    np.fill_diagonal(counts, 120 + 9 * np.arange(classes) % 50)
    return counts.tolist()


def evaluation(labels=LABELS, values=("field", "studio"), **changed):
    """evaluation.json of a good model with a champion; `changed` replaces fields."""
    matrix = np.array(confusion(len(labels)))
    images, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    right = np.diag(matrix)
    bins = [(n / 15, (n + 1) / 15) for n in range(4, 15)]
    return {
        "schema": "frostline/evaluation/v1",
        "model_name": "flowers",
        "model_digest": "d" * 64,
        "labels": list(labels),
        "examples": int(matrix.sum()),
        "confidence": 0.95,
        "test_split": evaluations.split(2, looks=2.0, reference_looks=2.0) | {"promotions": 2},
        "accuracy": interval(0.8912),
        "top_k": {"k": 2, **interval(0.964, 0.01)},
        "macro_f1": interval(0.8845, 0.022, method="bootstrap"),
        "log_loss": interval(0.3412, 0.03, highest=9.0, method="normal"),
        "brier": interval(0.1612, 0.014, highest=2.0, method="normal"),
        "calibration_error": interval(0.031, 0.012, method="bootstrap"),
        "reliability": [
            {
                "low": low,
                "high": high,
                "examples": 6 + 3 * n * n,
                "confidence": (low + high) / 2,
                "accuracy": max(0.0, (low + high) / 2 - 0.09 + 0.012 * n),
            }
            for n, (low, high) in enumerate(bins)
        ],
        "per_class": [
            {
                "label": label,
                "examples": int(images[n]),
                "predicted": int(predicted[n]),
                "precision": interval(float(right[n] / predicted[n]), 0.05),
                "recall": interval(float(right[n] / images[n]), 0.05),
                "f1": float(2 * right[n] / (images[n] + predicted[n])),
            }
            for n, label in enumerate(labels)
        ],
        "slices": [
            {"column": "camera", "value": value, "examples": 400 - 90 * n, "accuracy": interval(0.93 - 0.1 * n, 0.03)}
            for n, value in enumerate(values)
        ],
        "confusion": matrix.tolist(),
        "serving": {
            "latency": [
                {"batch": 1, "p50": 41.2, "p95": 48.7, "p99": 60.3, "calls": 70},
                {"batch": 32, "p50": 802.0, "p95": 850.4, "p99": 850.4, "calls": 5},
            ],
            "throughput": 39.9,
            "size_bytes": 89_123_456,
            "peak_memory_bytes": 1_204_000_000,
        },
        "skew": {"images": 512, "agreement": 1.0, "max_difference": 3.1e-7},
        "leaked": 0,
        "columns_left_out": [],
        "champion": champion(labels, values),
        "reference": {
            **champion(labels, values),
            "version": 1,
            "pinned": False,
            "stored": False,
            "replaces": "",
        },
        "chain": chain(),
        **changed,
    }


def chain():
    """Three promotions with a held model among them, and a rollback."""
    rows = [("promoted", 1, 0.905), ("promoted", 2, 0.9), ("held", None, 0.86), ("promoted", 3, 0.895)]
    return [
        {
            "at": f"2026-11-0{day}T03:10:00+00:00",
            "kind": kind,
            "version": version,
            "images": 512,
            "accuracy": {"value": value, "low": value - 0.02, "high": value + 0.02},
            "champion": {"version": 1, "gain": -0.005} if day > 1 else None,
            "reference": {"version": 1, "gain": None} if day > 1 else None,
            "approver": "Ada" if version == 3 else None,
            "reason": "not worse",
        }
        for day, (kind, version, value) in enumerate(rows, start=1)
    ]


def decision(verdict="promote", **changed):
    names = ("freeze", "data", "leakage", "skew", "accuracy", "champion")
    last = {"promote": "pass", "hold": "fail", "inconclusive": "inconclusive"}[verdict]
    return {
        "schema": "frostline/decision/v1",
        "verdict": verdict,
        "model_digest": "d" * 64,
        "approval": "none",
        "checks": [
            {
                "name": name,
                "verdict": last if name == names[-1] else "pass",
                "value": 0.022 if name == names[-1] else None,
                "limit": -0.02 if name == names[-1] else None,
                "reason": f"what the {name} check found, in a sentence about as long as those of the gate",
            }
            for name in names
        ],
        "reason": "difference 0.0220 (0.0041 to 0.0402) to the champion, version 3: not worse by more than the margin",
        "notes": ["This test split has already decided 2 promotions."],
        "examples_needed": 1400 if verdict == "inconclusive" else None,
        **changed,
    }


def worst(labels=LABELS, count=8):
    """Mistakes, each with a picture that a browser can decode."""
    return [
        {
            "id": f"{labels[n % len(labels)]}/{n:04d}.jpg",
            "label": labels[n % len(labels)],
            "predicted": labels[(n + 1) % len(labels)],
            "probability": 0.99 - 0.03 * n,
            "true_probability": 0.001 * (n + 1),
            "thumbnail": _thumbnail(n),
        }
        for n in range(count)
    ]


def _thumbnail(number):
    y, x = np.mgrid[0:96, 0:96]
    pixels = np.stack([x * 2, y * 2, (x + y + 40 * number) % 256], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
