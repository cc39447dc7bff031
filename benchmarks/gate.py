"""How often the gate is wrong, and how long it takes: `python benchmarks/gate.py` prints JSON.

With `--nights` it prints what becomes of a chain of champions instead, see `nights.py`.

`error_rates` are exact: probabilities summed over every outcome of a comparison, for several numbers of test images and
rates of disagreement between the two models. `simulated` draws evaluations and runs the whole gate on them. `seconds`
is measured on predictions read from a Parquet file.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from frostline.data.metadata import CLASSES as CLASS_COLUMN
from frostline.evaluation import compare, metrics, slices
from frostline.gating.config import GateConfig
from frostline.gating.decision import decide
from frostline.section import parse

sys.path.insert(0, str(Path(__file__).parents[1]))
import nights

from tests.support import evaluations, rates

CONFIDENCE = 0.95
SIZES = (200, 500, 2_000, 10_000)
DISAGREEMENT = (0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4)
MARGINS = (0.02, 0.05)
CLASSES = 10


def main() -> None:
    """Compute, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=1_000_000)
    parser.add_argument("--comparisons", type=int, default=1_000)
    parser.add_argument("--nights", action="store_true", help="simulate chains of champions instead")
    parser.add_argument("--histories", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.nights:
        print(json.dumps(nights.nights(arguments.histories), indent=2))
        return
    report = {
        "confidence": CONFIDENCE,
        "error_rates": error_rates(),
        "simulated": simulated(arguments.comparisons),
        "seconds": seconds(arguments.predictions),
    }
    print(json.dumps(report, indent=2))


def error_rates() -> dict[str, Any]:
    """For each table, the largest rate first: it must be at most 1 - confidence."""
    equal = {n: {rate: _promotes_equal(n, rate) for rate in DISAGREEMENT} for n in SIZES}
    worse = {
        margin: {n: {rate: _percent(_passes(n, rate, margin)) for rate in _rates(margin)} for n in SIZES}
        for margin in MARGINS
    }
    return {
        "unit": "% of comparisons",
        "superiority_promotes_an_equal_model": {"most": _most(equal), "by_images_and_disagreement": equal},
        "non_inferiority_promotes_a_model_worse_by_the_margin": {
            margin: {"most": _most(table), "by_images_and_disagreement": table} for margin, table in worse.items()
        },
        "superiority_promotes_a_gain_of_3_points_on_2000_images_with_20_%_disagreement": _percent(
            rates.probability(2_000, 0.115, 0.085, _better)
        ),
    }


def _promotes_equal(n: int, rate: float) -> float:
    return _percent(rates.probability(n, rate / 2, rate / 2, _better))


def _better(wins: int, losses: int) -> bool:
    return compare.mcnemar(wins, losses) <= 1 - CONFIDENCE


def _passes(n: int, rate: float, margin: float) -> float:
    def rule(wins: int, losses: int) -> bool:
        return compare.bounds(wins, losses, n, CONFIDENCE)[0] >= -margin

    return float(rates.probability(n, (rate - margin) / 2, (rate + margin) / 2, rule))


def _rates(margin: float) -> list[float]:
    return [rate for rate in DISAGREEMENT if rate >= margin]


def _most(table: dict[int, dict[float, float]]) -> float:
    return max(rate for row in table.values() for rate in row.values())


def _percent(rate: float) -> float:
    return round(100 * rate, 3)


def simulated(comparisons: int) -> dict[str, float]:
    """Percentage of drawn evaluations (2,000 images, 20 % disagreement) that the whole gate promotes."""
    cases = {
        "superiority, equal": ("superiority", 0.0),
        "superiority, better by 3 points": ("superiority", 0.03),
        "non_inferiority, worse by the margin": ("non_inferiority", -0.02),
        "non_inferiority, equal": ("non_inferiority", 0.0),
    }
    generator, found = np.random.default_rng(0), {}
    for name, (comparison, gain) in cases.items():
        config = parse(GateConfig, {"min_accuracy": 0.5, "comparison": comparison, "slice_margin": 1.0})
        cells = (0.7, (0.2 + gain) / 2, (0.2 - gain) / 2, 0.1)
        promoted = 0
        for both, wins, losses, neither in generator.multinomial(2_000, cells, comparisons).tolist():
            champion = evaluations.champion(both, wins, losses, neither)
            evaluation = evaluations.evaluated(both + wins, 2_000, champion)
            decision = decide(evaluation, evaluations.CERTIFICATE, evaluations.VALIDATION, config)
            promoted += decision["verdict"] == "promote"
        found[name] = round(100 * promoted / comparisons, 2)
    return found


def seconds(count: int) -> dict[str, Any]:
    """Seconds per part, from predictions.parquet and the manifest's rows to a decision."""
    with tempfile.TemporaryDirectory() as directory:
        path, rows = _predictions(Path(directory), count)
        started = time.perf_counter()
        table = pq.read_table(path)
        labels, champion = table["label"].to_numpy(), table["champion_predicted"].to_numpy()
        probabilities = np.asarray(table["probabilities"].combine_chunks().flatten()).reshape(count, CLASSES)
        predicted = probabilities.argmax(axis=1)
        times = {"read": time.perf_counter()}
        names = [str(number) for number in range(CLASSES)]
        measured = metrics.classification(labels, probabilities, names, CONFIDENCE)
        times["measure"] = time.perf_counter()
        found, _ = slices.find(rows)
        times["slices"] = time.perf_counter()
        groups = [(CLASS_COLUMN, name, labels == number) for number, name in enumerate(names)]
        groups += [(one.column, one.value, one.mask) for one in found]
        compared = compare.compare(labels, predicted, champion, CONFIDENCE)
        parts = [
            {"column": column, "value": value}
            | compare.compare(labels[mask], predicted[mask], champion[mask], CONFIDENCE)
            for column, value, mask in groups
        ]
        times["compare"] = time.perf_counter()
        against = evaluations.champion(1, 0, 0, 0) | compared | {"slices": parts}
        evaluation = evaluations.evaluated(count, count, against) | measured | {"labels": names, "slices": []}
        decision = decide(evaluation, evaluations.CERTIFICATE, evaluations.VALIDATION, GateConfig())
        times["decide"] = time.perf_counter()
    ends = list(times.values())
    return {
        "predictions": count,
        "slices_compared": len(groups),
        "verdict": decision["verdict"],
        **{name: round(end - begin, 3) for name, begin, end in zip(times, [started, *ends[:-1]], ends, strict=True)},
        "total": round(ends[-1] - started, 3),
    }


def _predictions(directory: Path, count: int) -> tuple[Path, list[Any]]:
    """predictions.parquet of a challenger and its champion, and rows with two metadata columns."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, count)
    logits = generator.normal(size=(count, CLASSES))
    logits[np.arange(count), labels] += 3.0
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    champion = np.where(generator.random(count) < 0.1, generator.integers(0, CLASSES, count), predicted)
    columns = {
        "label": labels,
        "probabilities": pa.FixedSizeListArray.from_arrays(pa.array(probabilities.astype(np.float32).ravel()), CLASSES),
        "champion_predicted": champion,
    }
    pq.write_table(pa.table(columns), directory / "predictions.parquet")
    cameras, sites = generator.integers(0, 12, count).tolist(), generator.integers(0, 40, count).tolist()
    rows = [{"metadata": {"camera": f"c{one}", "site": f"s{other}"}} for one, other in zip(cameras, sites, strict=True)]
    return directory / "predictions.parquet", rows


if __name__ == "__main__":
    main()
