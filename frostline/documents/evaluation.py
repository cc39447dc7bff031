"""What evaluate writes: metrics with their intervals, the comparison with the champion, and the worst mistakes."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from frostline.documents.chain import ChainRow
from frostline.documents.kinds import Document, Stored
from frostline.documents.training import Arithmetic


class Interval(TypedDict):
    """A number with its interval, low <= value <= high, and the name of the method."""

    value: float
    low: float
    high: float
    method: str


class TopK(Interval):
    """The fraction of examples whose true class is among the k most probable."""

    k: int


class CalibrationError(Interval):
    """The expected calibration error (0..1); the gate decides by `at_most`, a one-sided upper bound."""

    at_most: float


class ReliabilityBin(TypedDict):
    """A bin of confidences: its edges, the number of examples, their mean confidence and their accuracy (0..1)."""

    low: float
    high: float
    examples: int
    confidence: float
    accuracy: float


class Calibration(TypedDict):
    """The calibration error, and the bins that it is computed from."""

    calibration_error: CalibrationError
    reliability: list[ReliabilityBin]


class ClassRow(TypedDict):
    """A class; precision is None if it was never predicted, recall is None if it has no examples."""

    label: str
    examples: int
    predicted: int
    precision: Interval | None
    recall: Interval | None
    f1: float


class Classification(Calibration):
    """All metrics of one model; log loss in nats, Brier score 0..2; rows of the confusion matrix are true classes."""

    examples: int
    accuracy: Interval
    top_k: TopK
    macro_f1: Interval
    log_loss: Interval
    brier: Interval
    per_class: list[ClassRow]
    confusion: list[list[int]]


class SliceRow(TypedDict):
    """Images with the same value in a metadata column."""

    column: str
    value: str
    examples: int
    accuracy: Interval


class LatencyRow(TypedDict):
    """Calls with `batch` images each: percentiles in milliseconds, and the number of calls."""

    batch: int
    p50: float
    p95: float
    p99: float
    calls: int


class Latency(TypedDict):
    """Calls of each batch size; `throughput` is images per second at the largest."""

    latency: list[LatencyRow]
    throughput: float


class Serving(Latency):
    """Latency, and the size of the export and the peak memory in bytes."""

    size_bytes: int
    peak_memory_bytes: int


class Skew(TypedDict):
    """The training and the serving input path: fraction of equal labels, largest difference of a probability.

    The pixels of all images were compared, and those of `different` images are not the same; `predicted` images went
    through the Keras model. Evaluations of earlier versions have neither.
    """

    images: int
    agreement: float
    max_difference: float
    different: NotRequired[int]
    predicted: NotRequired[int]


class Measured(Classification):
    """The challenger alone; `leaked` counts the test images that it was trained or validated on."""

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
    """The comparison as a whole; `log_loss_difference` is None if the labels differ."""

    log_loss_difference: Interval | None
    slices: list[PairedSlice]


class Opponent(TypedDict):
    """The champion that a model is compared with."""

    version: int
    manifest_digest: str
    promotion: str
    model_digest: str


class Uncompared(Opponent):
    """A champion that the model cannot be compared with, and the reason."""

    comparable: Literal[False]
    reason: str


class Compared(Opponent, PairedWhole):
    """The comparison with the champion; it was trained or validated on `made_with` of the `excluded` images."""

    comparable: Literal[True]
    reason: str
    excluded: int
    made_with: int
    new_labels: list[str]


class _Named(TypedDict):
    pinned: bool
    stored: bool
    replaces: str


class ComparedReference(Compared, _Named):
    """The comparison with the reference.

    `pinned`: a person named it. `stored`: its files are gone, and its stored predictions were compared. `replaces` says
    in words which version is not compared, and why; empty if there is none.
    """


class UncomparedReference(Uncompared, _Named):
    """A reference that the model cannot be compared with, and the reason."""


class TestSplit(TypedDict):
    """The test split, and how it was used before.

    `promotions` were decided on exactly this split. `attempts` is the number of earlier evaluations that used some of
    its images, `held` how many of them led to no promotion. `looks` counts them by the fraction of the images that each
    used, `reference_looks` only those that compared with the same reference.
    """

    digest: str
    promotions: int
    attempts: int
    held: int
    looks: float
    reference_looks: float


class Evaluation(Stored, Measured):
    """evaluation.json; `champion` is null if there is none yet, and then there is no `reference` either.

    `attempt` is its name in the registry, `chain` what happened there before, `arithmetic` what computed the
    predictions. Evaluations made before there were references lack these four.
    """

    model_name: str
    model_digest: str
    labels: list[str]
    confidence: float
    attempt: NotRequired[str]
    arithmetic: NotRequired[Arithmetic]
    test_split: TestSplit
    champion: Compared | Uncompared | None
    reference: NotRequired[ComparedReference | UncomparedReference | None]
    chain: NotRequired[list[ChainRow]]


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


class Confusion(TypedDict):
    """The confusion matrix that the run's page in Kubeflow shows; rows are true classes."""

    labels: list[str]
    confusion: list[list[int]]


EVALUATION = Document[Evaluation]("evaluation", "evaluation.json")
WORST = Document[Worst]("worst", "worst.json")
PREDICTIONS_FILE = "predictions.parquet"
GOLDEN_FILE = "golden.parquet"
REPORT_FILE = "report.html"
EVALUATION_FILES = (EVALUATION.file, GOLDEN_FILE)  # those that are published
