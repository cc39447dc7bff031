"""What ingest, preprocess and validate write: the manifest, the shards, and the dataset as a whole."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from frostline.documents.kinds import Document, Rows, Stored

SplitName = Literal["train", "validation", "test"]
Counts = dict[str, dict[str, int]]  # images by split and label


class Unmatched(TypedDict):
    """Rows of metadata.csv that match no image: how many, and the first of them by name."""

    count: int
    first: str | None


class Source(Stored):
    """source.json of the dataset.

    `source` is as configured, `name` its name in TFDS. `counts` has images by split and label. `conflicts` has the ids
    of images that appear under two labels and are left out, `across` those of copies in another given split.
    """

    source: str
    name: str
    labels: list[str]
    shards: int
    counts: Counts
    manifest_digest: str
    conflicts: list[str]
    across: NotRequired[list[str]]
    unmatched: Unmatched


class FoundImage(TypedDict):
    """An image that ingest found: `size` bytes at `offset` of the file `uri`; `label` is the name of its class.

    `split` is the one that the source gives.
    """

    id: str
    uri: str
    offset: int
    size: int
    sha256: str
    label: str
    split: NotRequired[SplitName]
    metadata: NotRequired[dict[str, str]]


class ManifestRow(TypedDict):
    """An image of the manifest: `size` bytes at `offset` of the file `uri`; `label` is the index of its class."""

    id: str
    uri: str
    offset: int
    size: int
    sha256: str
    label: int
    split: SplitName
    metadata: NotRequired[dict[str, str]]


class IndexRow(TypedDict):
    """An image that was written to a shard's records; `label` is the index of its class."""

    id: str
    sha256: str
    label: int
    split: SplitName


class QuarantineRow(IndexRow):
    """An image that cannot be decoded, and the reason."""

    reason: str


class ShardFile(TypedDict):
    """The TFRecord file of one shard and split; `bytes` is its size."""

    split: SplitName
    examples: int
    bytes: int


class Share(Stored):
    """share.json: the shards of one worker, the address of the records, and the files of these shards by name.

    `dark` has the ids of images of 16 bits that use at most a sixteenth of them.
    """

    worker: str
    shards: list[str]
    records: str
    files: dict[str, ShardFile]
    dark: list[str]


class ShardState(Stored):
    """shard-SSSSS-of-NNNNN.json next to the records: all that preprocessing wrote for a shard, in order."""

    index: list[IndexRow]
    quarantine: list[QuarantineRow]
    files: dict[str, ShardFile]
    dark: NotRequired[list[str]]


class Findings(TypedDict):
    """What validation found; `problems` stop the run, `warnings` do not."""

    counts: Counts
    quarantined: int
    duplicates: int
    problems: list[str]
    warnings: list[str]


class Validation(Stored, Findings):
    """report.json of the dataset: the findings, and whether the dataset can be used."""

    valid: bool


class DatasetInfo(Stored):
    """info.json: the validated dataset. `records` is the address of its TFRecords, `splits` has images per split.

    `split_digests` has a digest of the images and labels of each split, see `frostline.data.splits.digest`.
    """

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
    split_digests: NotRequired[dict[str, str]]  # an earlier version wrote none


SOURCE = Document[Source]("source", "source.json")
MANIFEST = Rows[ManifestRow]("manifest.jsonl")
INDEX = Rows[IndexRow]("index.jsonl")
QUARANTINE = Rows[QuarantineRow]("quarantine.jsonl")
SHARE = Document[Share]("share", "share.json")
SHARD_STATE_KIND = "shard_state"
VALIDATION = Document[Validation]("validation", "report.json")
INFO = Document[DatasetInfo]("info", "info.json")
LABELS_FILE = "labels.txt"
IMAGES_FILE = "images.parquet"  # the images that a model was made with, see `frostline.data.lineage`
