"""The ingest stage: list the source's images, assign labels and splits, and name the shards.

The manifest's bytes are a pure function of the images' content, names, addresses and metadata, and of the `data`
section: rows are sorted by split (by name), SHA-256 and id, whatever the order in which a file system or bucket lists
files. Images without their own files (digits, TFDS) are packed into one blob in the store, named by its digest and
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

from frostline import digests, storage
from frostline.data import metadata, splits
from frostline.data import shards as shard_files
from frostline.data.config import DataConfig
from frostline.data.sources import ImageSource, SourceImage, open_source
from frostline.documents.data import MANIFEST, SOURCE, Counts, FoundImage, ManifestRow, SplitName
from frostline.errors import ConfigError, DataError, PreconditionFailed
from frostline.events import progress, say, step
from frostline.section import parse
from frostline.text import listed

_READERS = 8  # threads, which mostly wait for disks and buckets
_NO_IMAGE = "add images, remove the folder, or leave the class out of data.classes"
_TOO_FEW: dict[SplitName, str] = {
    "train": "lower data.test_fraction or data.validation_fraction, or add images",
    "validation": "raise data.validation_fraction, set it to 0, or add images",
    "test": "raise data.test_fraction, or add images",
}


@step("ingest")
def run(*, source: str, data: dict[str, Any], shards: int, store: str, dataset: str) -> list[str]:
    """Write manifest.jsonl and source.json into `dataset`, and return the names of the shards.

    Args:
        source: `digits`, `tfds://NAME`, or a directory or gs:// prefix with one folder per class.
        data: the `data` section of the configuration.
        shards: number of preprocessing shards.
        store: root of the store, a directory or gs://.
        dataset: the dataset artifact, a local directory.

    Returns:
        The names of the shards, `SSSSS-of-NNNNN`.

    Raises:
        ConfigError: the section, a class or the number of shards is wrong.
        DataError: the source is missing or empty, or a class or split has no images.
        StorageError: the source cannot be read, or the store cannot be written.
    """
    config = parse(DataConfig, data, field="data")
    opened = open_source(source)
    labels = _choose(opened.labels, config.classes)
    found = _pack(opened, store) if opened.packed else _digest_files(opened, labels)
    unambiguous, conflicts = _without_conflicts([image for image in found if image["label"] in labels])
    rows = _limit(_manifest_rows(unambiguous, labels, config), config.train_examples_per_class)
    if not 1 <= shards <= len(rows):
        raise ConfigError("shards", shards, f"expected 1 to {len(rows)}, the number of images used")
    counts = splits.count(rows, labels)
    _check_counts(counts, labels, config)
    directory = Path(dataset)
    MANIFEST.write(directory, rows)
    SOURCE.write(
        directory,
        {
            "source": source,
            "name": opened.name,
            "labels": list(labels),
            "shards": shards,
            "counts": counts,
            "manifest_digest": digests.of_file(directory / MANIFEST.file),
            "conflicts": conflicts,
            "unmatched": {"count": len(opened.unmatched), "first": next(iter(opened.unmatched), None)},
        },
    )
    _summarize(source, opened, counts, conflicts)
    return shard_files.names(shards)


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
        raise DataError(f"source: received only one class, {labels[0]!r}; expected images of at least two")
    return labels


def _digest_files(source: ImageSource, labels: Sequence[str]) -> list[FoundImage]:
    """Read every image of the chosen classes once, for its digest."""
    images = [image for image in source.images if image.label in labels]
    _require_images(labels, images)
    with ThreadPoolExecutor(_READERS) as pool:
        return list(progress(pool.map(_digest_file, images), total=len(images), unit="images"))


def _digest_file(image: SourceImage) -> FoundImage:
    return _found(image, image.uri, 0, storage.read_bytes(image.uri))


def _pack(source: ImageSource, store: str) -> list[FoundImage]:
    """Write all of the source's images into one blob in the store, with unused classes, so that runs can reuse it."""
    found: list[FoundImage] = []
    digest, offset = hashlib.sha256(), 0
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "blob"
        with path.open("wb") as file:
            for image in progress(source.images, total=source.total, unit="images"):
                data = image.data or b""
                found.append(_found(image, "", offset, data))
                file.write(data)
                digest.update(data)
                offset += len(data)
        uri = storage.join(store, "sources", f"{digest.hexdigest()}.bin")
        with contextlib.suppress(PreconditionFailed):  # an earlier run wrote the same bytes
            storage.upload_file(path, uri, if_generation=storage.ABSENT)
    return [{**row, "uri": uri} for row in found]


def _found(image: SourceImage, uri: str, offset: int, data: bytes) -> FoundImage:
    found: FoundImage = {
        "id": image.id,
        "uri": uri,
        "offset": offset,
        "size": len(data),
        "sha256": digests.of_bytes(data),
        "label": image.label,
    }
    if image.metadata:
        found["metadata"] = image.metadata
    return found


def _without_conflicts(found: Sequence[FoundImage]) -> tuple[list[FoundImage], list[str]]:
    """Leave out images that appear under two labels, because neither can be trusted; also returns their ids."""
    labels_of: dict[str, set[str]] = {}
    for image in found:
        labels_of.setdefault(image["sha256"], set()).add(image["label"])
    kept = [image for image in found if len(labels_of[image["sha256"]]) == 1]
    return kept, sorted(image["id"] for image in found if len(labels_of[image["sha256"]]) > 1)


def _require_images(labels: Sequence[str], images: Iterable[SourceImage]) -> None:
    with_images = {image.label for image in images}
    for label in labels:
        if label not in with_images:
            raise DataError(f"class {label!r}: has no images; {_NO_IMAGE}")


def _manifest_rows(found: Iterable[FoundImage], labels: Sequence[str], config: DataConfig) -> list[ManifestRow]:
    """The images with their splits, and labels as indexes, in the manifest's order."""
    index = {label: number for number, label in enumerate(labels)}
    fractions = {"validation_fraction": config.validation_fraction, "test_fraction": config.test_fraction}
    rows: list[ManifestRow] = [
        {**image, "label": index[image["label"]], "split": splits.split_of(image["sha256"], **fractions)}
        for image in found
    ]
    return sorted(rows, key=lambda row: (row["split"], row["sha256"], row["id"]))


def _limit(rows: Sequence[ManifestRow], train_examples_per_class: int) -> list[ManifestRow]:
    """Keep the first training images of each class; 0 keeps all."""
    taken, kept = Counter[int](), []
    for row in rows:
        if row["split"] == "train":
            taken[row["label"]] += 1
            if train_examples_per_class and taken[row["label"]] > train_examples_per_class:
                continue
        kept.append(row)
    return kept


def _check_counts(counts: Counts, labels: Sequence[str], config: DataConfig) -> None:
    """Raise DataError if a class cannot be trained or tested, or the validation split is empty."""
    for label in labels:
        if not any(counts[split][label] for split in splits.SPLITS):
            raise DataError(f"class {label!r}: has no images; {_NO_IMAGE}")
    required: tuple[SplitName, ...] = ("train", "test")
    for split in required:
        for label, number in counts[split].items():
            if not number:
                raise DataError(f"class {label!r}: has no images in the {split} split; {_TOO_FEW[split]}")
    if config.validation_fraction and not sum(counts["validation"].values()):
        raise DataError(f"there are no images in the validation split; {_TOO_FEW['validation']}")


def _summarize(source: str, opened: ImageSource, counts: Counts, conflicts: Sequence[str]) -> None:
    """Print what was found, and what was left out."""
    sizes = ", ".join(f"{sum(by_label.values()):,} {split}" for split, by_label in counts.items())
    say(f"{source}: {len(counts['train'])} classes; images: {sizes}")
    if opened.left_out:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(opened.left_out.items()))
        say(f"{source}: files left out: {reasons}")
    if opened.unmatched:
        first = opened.unmatched[0]
        say(f"{source}: {metadata.FILE}: {len(opened.unmatched):,} rows match no image; the first is {first!r}")
    if conflicts:
        say(f"{source}: {len(conflicts)} files left out, because their image has two labels: {listed(conflicts)}")
