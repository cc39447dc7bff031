"""What train writes beside the certificate: the history, the report of the training, and the model's description."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from frostline.documents.data import IMAGES_FILE, Counts
from frostline.documents.features import CacheUse, PrecisionVerdict
from frostline.documents.freeze import CERTIFICATE, FREEZE_PLAN, Policy
from frostline.documents.kinds import Document, Rows, Stored


class Lap(TypedDict):
    """Time of a part of training; `input_wait` is the fraction (0..1) of it spent waiting for input."""

    seconds: float
    images_per_second: float
    input_wait: float


class ValidationScores(TypedDict):
    """Loss (nats) and accuracy (0..1) on the validation split; empty where there is none."""

    validation_loss: NotRequired[float]
    validation_accuracy: NotRequired[float]


class EpochRow(Lap, ValidationScores):
    """A row of training.jsonl: loss (nats) and accuracy (0..1) while training."""

    epoch: int
    phase: int
    loss: float
    accuracy: float
    learning_rate: float


class Arithmetic(TypedDict):
    """What computed, see `frostline.model.arithmetic`; `precision` is float32 or bfloat16."""

    device: str
    tensor_float_32: bool
    precision: str


class Equivalence(TypedDict):
    """Cached features against the whole model after a phase, see `frostline.features.equivalence`."""

    layer: str
    images: int
    max_difference: float
    relative_l2: float
    agreement: float
    exact: bool
    limit: float
    arithmetic: NotRequired[Arithmetic]  # of the comparison; missing before 0.2


class CachedSet(TypedDict):
    """A set of features that training read; `computed` and `damaged` count images."""

    layer: str
    view: int
    address: str
    computed_in: str
    dtype: str
    images: int
    bytes: int
    computed: int
    damaged: int


class PhaseReport(CacheUse, Lap):
    """A phase as it went; `bound` says in a sentence what it spent its time on."""

    epochs: int
    bound: str


class Memory(TypedDict):
    """Peak memory in bytes: of the process, and by GPU."""

    host_bytes: int
    device_bytes: dict[str, int]


class TrainingReport(Stored):
    """training.json; `sentences` tell people the rest."""

    phases: list[PhaseReport]
    cache: list[CachedSet]
    precision: dict[str, PrecisionVerdict]
    equality: list[Equivalence]
    fingerprint: str
    prefix_images: int
    resumed_from: int | None
    replicas: int
    memory: Memory
    sentences: list[str]


class HeadSection(TypedDict):
    """The head as configured."""

    hidden: list[int]
    dropout: float


class WeightsOrigin(TypedDict):
    """The reference to the weights that training started from, and what it stood for."""

    reference: str
    resolved: str


class Provenance(TypedDict):
    """Where everything came from."""

    source: str
    manifest_digest: str
    counts: Counts
    weights: WeightsOrigin
    config_digest: str
    versions: dict[str, str]
    image: str


class ModelIdentity(TypedDict):
    """What a model's digest covers besides its weights."""

    labels: list[str]
    image_size: int
    backbone: str
    head: HeadSection


class ModelDescription(Stored, ModelIdentity):
    """model.json, the last file that train writes. Models of earlier versions have no provenance."""

    model_digest: str
    policy: Policy
    dataset_digest: str
    parameters: int
    frozen_parameters: int
    provenance: NotRequired[Provenance]


HISTORY = Rows[EpochRow]("training.jsonl")
TRAINING = Document[TrainingReport]("training", "training.json")
MODEL = Document[ModelDescription]("model", "model.json")
KERAS_FILE = "model.keras"
SERVING_DIRECTORY = "serving"
# What the certificate vouches for, beside serving/; a version holds the same, and the certificate itself.
CERTIFIED_FILES = (KERAS_FILE, FREEZE_PLAN.file, HISTORY.file, TRAINING.file, MODEL.file, IMAGES_FILE)
MODEL_FILES = (*CERTIFIED_FILES, CERTIFICATE.file)
RECORD_FILES = (FREEZE_PLAN.file, HISTORY.file, TRAINING.file, CERTIFICATE.file)  # what the gate reads
