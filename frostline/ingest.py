"""The ingest stage: list the source's images, assign labels and splits, and name the workers.

The manifest's bytes are a pure function of the images' content, names, addresses and metadata, and of the `data`
section: rows are sorted by split (by name), SHA-256 and id, whatever the order in which a file system or bucket lists
files. Images without their own files (digits, TFDS) are packed into one blob in the store, named by its digest and
written once.
"""

from __future__ import annotations

import difflib
import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from frostline import digests, storage
from frostline.config import checked
from frostline.data import metadata, splits
from frostline.data import shards as shard_files
from frostline.data.config import DataConfig
from frostline.data.sources import ImageSource, SourceImage, left_out_words, open_source
from frostline.documents.data import MANIFEST, SOURCE, Counts, FoundImage, ManifestRow, SplitName
from frostline.errors import ConfigError, DataError
from frostline.events import progress, say, step
from frostline.text import listed

_READERS = 8  # threads, which mostly wait for disks and buckets
_NO_IMAGE = "add images, remove the folder, or leave the class out of data.classes"


@step("ingest")
def run(*, source: str, data: dict[str, Any], shards: int, workers: int, store: str, dataset: str) -> list[str]:
    """Write manifest.jsonl and source.json into `dataset`, and return the names of the workers.

    Args:
        source: `digits`, `tfds://NAME`, or a directory or gs:// prefix with one folder per class.
        data: the `data` section of the configuration.
        shards: number of shards of the records.
        workers: number of pods that prepare them; no more than there are shards.
        store: root of the store, a directory or gs://.
        dataset: the dataset artifact, a local directory.

    Returns:
        The names of the workers, `WWWWW-of-NNNNN`.

    Raises:
        ConfigError: a parameter, a class or the number of shards is wrong.
        DataError: the source is missing or empty, or a class or split has no images.
        StorageError: the source cannot be read, or the store cannot be written.
    """
    parameters = checked(source=source, data=data, shards=shards, workers=workers, store=store)
    config, shards = parameters.data, parameters.shards
    opened = open_source(source, config.layout)
    labels = _choose(opened.labels, config.classes)
    found = _pack(opened, store) if opened.packed else _digest_files(opened, labels)
    unambiguous, conflicts = _without_conflicts([image for image in found if image["label"] in labels])
    unique, across = _without_copies_across(unambiguous)
    split_of, moved = _assign(unique, config)
    rows = _limit(_manifest_rows(unique, labels, split_of), config.train_examples_per_class)
    if not 1 <= shards <= len(rows):
        raise ConfigError("shards", shards, f"expected 1 to {len(rows)}, the number of images used")
    counts = splits.count(rows, labels)
    _check_counts(counts, config)
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
            "across": across,
            "unmatched": {"count": len(opened.unmatched), "first": next(iter(opened.unmatched), None)},
        },
    )
    _summarize(source, opened, counts, conflicts)
    if across:
        say(f"{source}: {len(across)} files left out, because their image is also in another split: {listed(across)}")
    if moved:
        say(f"{source}: {moved} images of small classes are in another split than usual, so that each split has some")
    return shard_files.names(min(parameters.workers, shards))


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
    _require_images(labels, images, source.left_out)
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
        if storage.store_intact(path, uri, digest.hexdigest()):  # most often, an earlier run wrote the same bytes
            say(f"{uri}: was damaged in the store; it is written again")
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
    if image.split:
        found["split"] = image.split
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


def _require_images(labels: Sequence[str], images: Iterable[SourceImage], left_out: Mapping[str, int]) -> None:
    with_images = {image.label for image in images}
    without = [repr(label) for label in labels if label not in with_images]
    if without:
        passed = f"; files left out: {left_out_words(left_out)}" if left_out else ""
        raise DataError(f"class {listed(without, 20)}: has no images; {_NO_IMAGE}{passed}")


def _without_copies_across(found: Sequence[FoundImage]) -> tuple[list[FoundImage], list[str]]:
    """Keep copies of an image in one given split only: test, else validation. Also returns the ids of the others."""
    best: dict[str, SplitName] = {}
    for split in splits.SPLITS:  # train, validation, test: the last one stays
        best.update((image["sha256"], split) for image in found if image.get("split") == split)
    kept = [image for image in found if image.get("split") == best.get(image["sha256"])]
    return kept, sorted(image["id"] for image in found if image.get("split") != best.get(image["sha256"]))


def _assign(found: Sequence[FoundImage], config: DataConfig) -> tuple[dict[str, SplitName], int]:
    """The split of each image by its digest, and how many small classes moved.

    Given splits are kept; those that are not given are drawn from the images of the given train split.
    """
    given = {image["sha256"]: image["split"] for image in found if "split" in image}
    free = [image for image in found if given.get(image["sha256"], "train") == "train"]
    by_label: dict[str, list[str]] = {}
    for image in free:
        by_label.setdefault(image["label"], []).append(image["sha256"])
    drawn, moved = splits.assign(
        by_label.values(),
        validation_fraction=0.0 if "validation" in given.values() else config.validation_fraction,
        test_fraction=0.0 if "test" in given.values() else config.test_fraction,
    )
    return {**given, **drawn}, moved


def _manifest_rows(
    found: Iterable[FoundImage], labels: Sequence[str], split_of: Mapping[str, SplitName]
) -> list[ManifestRow]:
    """The images with their splits, and labels as indexes, in the manifest's order."""
    index = {label: number for number, label in enumerate(labels)}
    rows: list[ManifestRow] = []
    for image in found:
        row: ManifestRow = {
            "id": image["id"],
            "uri": image["uri"],
            "offset": image["offset"],
            "size": image["size"],
            "sha256": image["sha256"],
            "label": index[image["label"]],
            "split": split_of[image["sha256"]],
        }
        if "metadata" in image:
            row["metadata"] = image["metadata"]
        rows.append(row)
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


def _check_counts(counts: Counts, config: DataConfig) -> None:
    """Raise DataError if classes cannot be trained or tested, or the validation split is empty."""
    lacking = [
        f"{label!r} ({', '.join(f'{counts[split][label]} {split}' for split in splits.SPLITS)})"
        for label in counts["train"]
        if not (counts["train"][label] and counts["test"][label])
    ]
    if lacking:
        raise DataError(
            f"class {listed(lacking, 20)}: has no images in the train or test split; a class needs at least two "
            "different images, one for each: add images, or name the other classes in data.classes"
        )
    if config.validation_fraction and not sum(counts["validation"].values()):
        raise DataError(
            "there are no images in the validation split; raise data.validation_fraction, set it to 0, or add images"
        )


def _summarize(source: str, opened: ImageSource, counts: Counts, conflicts: Sequence[str]) -> None:
    """Print what was found, and what was left out."""
    sizes = ", ".join(f"{sum(by_label.values()):,} {split}" for split, by_label in counts.items())
    say(f"{source}: {len(counts['train'])} classes; images: {sizes}")
    if opened.left_out:
        say(f"{source}: files left out: {left_out_words(opened.left_out)}")
    if opened.links:
        say(f"{source}: {len(opened.links)} links lead nowhere or in a circle: {listed(opened.links)}")
    if opened.unmatched:
        first = opened.unmatched[0]
        say(f"{source}: {metadata.FILE}: {len(opened.unmatched):,} rows match no image; the first is {first!r}")
    if conflicts:
        say(f"{source}: {len(conflicts)} files left out, because their image has two labels: {listed(conflicts)}")
