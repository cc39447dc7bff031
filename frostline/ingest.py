"""The ingest stage: list the source's images, fix labels and splits, and name the shards.

The manifest's bytes are a pure function of the images' content, names, addresses and metadata, and of the `data`
section: rows are ordered by split (by name), SHA-256 and id, whatever order a file system or bucket lists in.
Images that have no file of their own (digits, TFDS) are packed into one blob of the store, named by its digest and
written once.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from frostline import artifacts, digests, storage
from frostline.artifacts import Json
from frostline.data import metadata
from frostline.data.config import DataConfig
from frostline.data.sources import Image, Source, open_source
from frostline.data.splits import SPLITS, split_of
from frostline.errors import ConfigError, DataError, PreconditionFailed
from frostline.events import progress, say, step
from frostline.section import parse
from frostline.text import listed

_READERS = 8  # threads: they wait for disks and buckets


@step("ingest")
def run(*, source: str, data: dict[str, Any], shards: int, store: str, dataset: str) -> list[str]:
    """Write manifest.jsonl and source.json into `dataset`, and return the names of the shards.

    Args:
        source: `digits`, `tfds://NAME`, a directory or gs:// prefix of class folders.
        data: the `data` section of the configuration.
        shards: number of preprocessing shards.
        store: root of the heavy bytes.
        dataset: the dataset artifact, a local directory.

    Returns:
        `SSSSS-of-NNNNN` for each shard.

    Raises:
        ConfigError: the section, a class or the number of shards is wrong.
        DataError: the source is missing or empty, or a class or split has no image.
        StorageError: the source cannot be read, or the store cannot be written.
    """
    config = parse(DataConfig, data, field="data")
    opened = open_source(source)
    labels = _choose(opened.labels, config.classes)
    read = _pack(opened, store) if opened.packed else _digest_files(opened, labels)
    rows, conflicts = _agreeing([row for row in read if row["label"] in labels])
    rows = _select(rows, labels, config)
    if not 1 <= shards <= len(rows):
        raise ConfigError("shards", shards, f"expected 1 to {len(rows)}, the number of images used")
    counts = _count(rows, labels, config)
    manifest = Path(dataset) / "manifest.jsonl"
    artifacts.write_jsonl(manifest, rows)
    document = {
        "source": source,
        "name": opened.name,
        "labels": list(labels),
        "shards": shards,
        "counts": counts,
        "manifest_digest": digests.of_file(manifest),
        "conflicts": conflicts,
        "unmatched": {"count": len(opened.unknown), "first": next(iter(opened.unknown), None)},
    }
    artifacts.write_json(manifest.with_name("source.json"), "source", document)
    _tell(source, opened, labels, counts)
    if conflicts:
        say(f"{len(conflicts)} files are left out: the same image under two labels, {conflicts[0]} first")
    return [f"{number:05d}-of-{shards:05d}" for number in range(shards)]


def _choose(found: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The labels to keep, in index order."""
    for label in wanted:
        if label not in found:
            near = difflib.get_close_matches(label, found, n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ConfigError("data.classes", label, f"{hint}the source's labels are {listed(found, 20)}")
    if len(set(wanted)) != len(wanted):
        raise ConfigError("data.classes", list(wanted), "expected each label once")
    labels = wanted or found
    if len(labels) < 2:
        raise DataError(f"only one class, {labels[0]!r}; a classifier needs images of at least two")
    return labels


def _digest_files(source: Source, labels: Sequence[str]) -> list[Json]:
    """Read every image of the chosen classes once, for its digest; `label` is still a name."""
    images = [image for image in source.images if image.label in labels]
    _require_images(labels, images)
    with ThreadPoolExecutor(_READERS) as pool:
        return list(progress(pool.map(_digest_file, images), total=len(images), unit="images"))


def _digest_file(image: Image) -> Json:
    data = storage.read_bytes(image.uri)
    return _row(image, image.uri, 0, data)


def _pack(source: Source, store: str) -> list[Json]:
    """Write all of the source's images into one blob in the store, whichever classes are used: runs share it."""
    rows: list[Json] = []
    digest, offset = hashlib.sha256(), 0
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "blob"
        with path.open("wb") as file:
            for image in progress(source.images, total=source.total, unit="images"):
                data = image.data or b""
                rows.append(_row(image, "", offset, data))
                file.write(data)
                digest.update(data)
                offset += len(data)
        uri = storage.join(store, "sources", f"{digest.hexdigest()}.bin")
        with contextlib.suppress(PreconditionFailed):  # an earlier run wrote the same bytes
            storage.upload_file(path, uri, if_generation=storage.ABSENT)
    return [{**row, "uri": uri} for row in rows]


def _row(image: Image, uri: str, offset: int, data: bytes) -> Json:
    row: Json = {
        "id": image.id,
        "uri": uri,
        "offset": offset,
        "size": len(data),
        "sha256": digests.of_bytes(data),
        "label": image.label,
    }
    return {**row, "metadata": image.metadata} if image.metadata else row


def _agreeing(read: Sequence[Json]) -> tuple[list[Json], list[str]]:
    """The rows without images that appear under two labels, of which none can be trusted; and the ids of those."""
    labels_of: dict[str, set[str]] = {}
    for row in read:
        labels_of.setdefault(row["sha256"], set()).add(row["label"])
    agreeing = [row for row in read if len(labels_of[row["sha256"]]) == 1]
    return agreeing, sorted(row["id"] for row in read if len(labels_of[row["sha256"]]) > 1)


def _require_images(labels: Sequence[str], images: Iterable[Image]) -> None:
    with_images = {image.label for image in images}
    for label in labels:
        if label not in with_images:
            raise DataError(f"class {label!r}: has no image; add images, remove it, or leave it out of data.classes")


def _select(read: Iterable[Json], labels: Sequence[str], config: DataConfig) -> list[Json]:
    """The manifest's rows: chosen classes only, labels as indexes, splits fixed, in the manifest's order."""
    index = {label: number for number, label in enumerate(labels)}
    fractions = {"validation_fraction": config.validation_fraction, "test_fraction": config.test_fraction}
    rows = [
        {**row, "label": index[row["label"]], "split": split_of(row["sha256"], **fractions)}
        for row in read
        if row["label"] in index
    ]
    rows.sort(key=lambda row: (row["split"], row["sha256"], row["id"]))
    limit, taken, kept = config.train_examples_per_class, Counter[int](), []
    for row in rows:
        if row["split"] == "train":
            taken[row["label"]] += 1
            if limit and taken[row["label"]] > limit:
                continue
        kept.append(row)
    return kept


def _count(rows: Sequence[Json], labels: Sequence[str], config: DataConfig) -> dict[str, dict[str, int]]:
    """{split: {label: images}}; raises DataError where a class cannot be trained or tested, or a split is empty."""
    counted = Counter((row["split"], row["label"]) for row in rows)
    counts: dict[str, dict[str, int]] = {
        split: {label: counted[split, number] for number, label in enumerate(labels)} for split in SPLITS
    }
    for label in labels:
        if not any(counts[split][label] for split in SPLITS):
            raise DataError(f"class {label!r}: has no image; add images, remove it, or leave it out of data.classes")
    advice = {
        "train": "lower data.test_fraction or data.validation_fraction, or add images",
        "validation": "raise data.validation_fraction, set it to 0, or add images",
        "test": "raise data.test_fraction, or add images",
    }
    for split in ("train", "test"):
        for label, number in counts[split].items():
            if not number:
                raise DataError(f"class {label!r}: no image of it falls into the {split} split; {advice[split]}")
    if config.validation_fraction and not sum(counts["validation"].values()):
        raise DataError(f"no image falls into the validation split; {advice['validation']}")
    return counts


def _tell(source: str, opened: Source, labels: Sequence[str], counts: dict[str, dict[str, int]]) -> None:
    sizes = ", ".join(f"{sum(of_label.values()):,} {split}" for split, of_label in counts.items())
    say(f"{source}: {len(labels)} classes; images: {sizes}")
    if opened.left_out:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(opened.left_out.items()))
        say(f"{source}: files left out: {reasons}")
    if opened.unknown:
        first = opened.unknown[0]
        say(f"{source}: {metadata.FILE}: {len(opened.unknown):,} rows match no image, {first!r} first")
