"""What ingest, preprocess and validate write: the manifest, the shards, and the dataset as a whole."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from frostline.documents.kinds import Document, Rows, Stored

SplitName = Literal["train", "validation", "test"]
Counts = dict[str, dict[str, int]]  # images by split and label


class Unmatched(TypedDict):
    """Rows of metadata.csv that name no image: how many, and the first of them by name."""

    count: int
    first: str | None


class Source(Stored):
    """source.json of the dataset.

    `source` is as configured and `name` is TFDS's name for it. `counts` has images by split and label. `conflicts` has
    the ids of images that lie under two labels and are left out.
    """

    source: str
    name: str
    labels: list[str]
    shards: int
    counts: Counts
    manifest_digest: str
    conflicts: list[str]
    unmatched: Unmatched


class FoundImage(TypedDict):
    """An image of the source as ingest read it: `size` bytes at `offset` of `uri`; `label` is a name."""

    id: str
    uri: str
    offset: int
    size: int
    sha256: str
    label: str
    metadata: NotRequired[dict[str, str]]


class ManifestRow(TypedDict):
    """An image of the manifest: `size` bytes at `offset` of `uri`; `label` is an index."""

    id: str
    uri: str
    offset: int
    size: int
    sha256: str
    label: int
    split: SplitName
    metadata: NotRequired[dict[str, str]]


class IndexRow(TypedDict):
    """An image that was written to a shard's records; `label` is an index."""

    id: str
    sha256: str
    label: int
    split: SplitName


class QuarantineRow(IndexRow):
    """An image that cannot be decoded, and why."""

    reason: str


class ShardFile(TypedDict):
    """A shard's TFRecord file of one split; `bytes` is its size."""

    split: SplitName
    examples: int
    bytes: int


class Shard(Stored):
    """shard.json: the shard's name, the address of its records, and its files by name."""

    shard: str
    records: str
    files: dict[str, ShardFile]


class ShardState(Stored):
    """shard-SSSSS-of-NNNNN.json beside the records: all that preprocessing wrote of a shard, in order."""

    index: list[IndexRow]
    quarantine: list[QuarantineRow]
    files: dict[str, ShardFile]


class Findings(TypedDict):
    """What validation counted and found; `problems` stop the run, `warnings` do not."""

    counts: Counts
    quarantined: int
    duplicates: int
    problems: list[str]
    warnings: list[str]


class Validation(Stored, Findings):
    """The report of the data validation."""

    valid: bool


class DatasetInfo(Stored):
    """info.json: the validated dataset. `records` is the address of its TFRecords, `splits` has images by split."""

    name: str
    labels: list[str]
    records: str
    image_size: int
    source: str
    manifest_digest: str
    counts: Counts
    splits: dict[str, int]
    quarantined: list[str]
    dataset_digest: str


SOURCE = Document[Source]("source", "source.json")
MANIFEST = Rows[ManifestRow]("manifest.jsonl")
INDEX = Rows[IndexRow]("index.jsonl")
QUARANTINE = Rows[QuarantineRow]("quarantine.jsonl")
SHARD = Document[Shard]("shard", "shard.json")
SHARD_STATE_KIND = "shard_state"
VALIDATION = Document[Validation]("validation", "report.json")
INFO = Document[DatasetInfo]("info", "info.json")
LABELS_FILE = "labels.txt"
IMAGES_FILE = "images.parquet"  # which images a model was made with, see `frostline.data.lineage`
