"""What evaluate writes: measures with their intervals, the comparison with the champion, and the worst mistakes."""

from __future__ import annotations

from typing import Literal, TypedDict

from frostline.documents.kinds import Document, Stored


class Interval(TypedDict):
    """A number with its interval, low <= value <= high, and the name of the method."""

    value: float
    low: float
    high: float
    method: str


class TopK(Interval):
    """The share of examples whose true class is among the k most probable."""

    k: int


class CalibrationError(Interval):
    """The expected calibration error (0..1); `at_most` is the one-sided bound that the gate decides by."""

    at_most: float


class ReliabilityBin(TypedDict):
    """A bin of confidences: its edges, its examples, their mean confidence and their accuracy (0..1)."""

    low: float
    high: float
    examples: int
    confidence: float
    accuracy: float


class Calibration(TypedDict):
    """The calibration error, and the bins that it is made of."""

    calibration_error: CalibrationError
    reliability: list[ReliabilityBin]


class ClassRow(TypedDict):
    """A class; no precision where it was never predicted, no recall where it has no examples."""

    label: str
    examples: int
    predicted: int
    precision: Interval | None
    recall: Interval | None
    f1: float


class Classification(Calibration):
    """What one model's predictions say of it; log loss in nats, Brier score 0..2; confusion's rows are true classes."""

    examples: int
    accuracy: Interval
    top_k: TopK
    macro_f1: Interval
    log_loss: Interval
    brier: Interval
    per_class: list[ClassRow]
    confusion: list[list[int]]


class SliceRow(TypedDict):
    """Images that share a value of a metadata column."""

    column: str
    value: str
    examples: int
    accuracy: Interval


class LatencyRow(TypedDict):
    """Calls with `batch` images each: percentiles in milliseconds, and how many calls."""

    batch: int
    p50: float
    p95: float
    p99: float
    calls: int


class Latency(TypedDict):
    """Calls of every batch size; `throughput` is images per second of the largest."""

    latency: list[LatencyRow]
    throughput: float


class Serving(Latency):
    """What serving costs, in bytes besides."""

    size_bytes: int
    peak_memory_bytes: int


class Skew(TypedDict):
    """Training's input path against serving's: share of equal labels, largest difference of a probability."""

    images: int
    agreement: float
    max_difference: float


class Measured(Classification):
    """The challenger by itself; `leaked` counts test images that it was made with."""

    slices: list[SliceRow]
    columns_left_out: list[str]
    serving: Serving
    skew: Skew
    leaked: int


class Bounds(TypedDict):
    """The two one-sided bounds of a difference."""

    low: float
    high: float


class Paired(TypedDict):
    """Two models on the same examples; differences are challenger minus champion."""

    examples: int
    both_right: int
    only_challenger_right: int
    only_champion_right: int
    both_wrong: int
    accuracy: Interval
    challenger_accuracy: Interval
    difference: Interval
    one_sided: Bounds
    bootstrap: Interval
    p_better: float
    p_worse: float
    p_value: float


class PairedSlice(Paired):
    """The comparison on a class or a metadata slice."""

    column: str
    value: str


class PairedWhole(Paired):
    """The comparison as a whole; no difference of the log losses where the labels differ."""

    log_loss_difference: Interval | None
    slices: list[PairedSlice]


class Opponent(TypedDict):
    """The champion that a model is compared with."""

    version: int
    manifest_digest: str
    promotion: str
    model_digest: str


class Uncompared(Opponent):
    """A champion that the model cannot be compared with, and why."""

    comparable: Literal[False]
    reason: str


class Compared(Opponent, PairedWhole):
    """The comparison with the champion; of `excluded` images the champion was made with `made_with`."""

    comparable: Literal[True]
    reason: str
    excluded: int
    made_with: int
    new_labels: list[str]


class TestSplit(TypedDict):
    """Digest of the test split, and how many promotions were decided on it before."""

    digest: str
    promotions: int


class Evaluation(Stored, Measured):
    """evaluation.json. `champion` is null where there is none yet."""

    model_name: str
    model_digest: str
    labels: list[str]
    confidence: float
    test_split: TestSplit
    champion: Compared | Uncompared | None


class Mistake(TypedDict):
    """A wrong prediction; `thumbnail` is a data URI."""

    id: str
    label: str
    predicted: str
    probability: float
    true_probability: float
    thumbnail: str


class Worst(Stored):
    """worst.json."""

    images: list[Mistake]


class RunNumbers(TypedDict):
    """What the run's page in Kubeflow shows; rows of confusion are true classes."""

    numbers: dict[str, float]
    labels: list[str]
    confusion: list[list[int]]


EVALUATION = Document[Evaluation]("evaluation", "evaluation.json")
WORST = Document[Worst]("worst", "worst.json")
PREDICTIONS_FILE = "predictions.parquet"
GOLDEN_FILE = "golden.parquet"
REPORT_FILE = "report.html"
EVALUATION_FILES = (EVALUATION.file, GOLDEN_FILE)  # what is published of them
