"""The validate stage: gather the shares of all workers into one dataset, and check it before it is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from frostline import artifacts, digests, storage
from frostline.config import checked
from frostline.data import record_files, splits
from frostline.data import shards as shard_files
from frostline.documents.data import (
    INDEX,
    INFO,
    LABELS_FILE,
    MANIFEST,
    QUARANTINE,
    SHARE,
    SOURCE,
    VALIDATION,
    DatasetInfo,
    Findings,
    IndexRow,
    ManifestRow,
    QuarantineRow,
    ShardFile,
    Share,
    Source,
    SplitName,
    Validation,
)
from frostline.errors import DataError
from frostline.events import say, step
from frostline.reporting import pages
from frostline.text import listed


@step("validate")
def run(*, dataset: str, examples: Sequence[str], image_size: int, store: str, info: str, page: str) -> None:
    """Gather the shares and write labels.txt, info.json, report.json, quarantine.jsonl and the report page.

    Next to the records go features.json, dataset_info.json and the class names, so that TFDS can read the directory.

    Args:
        dataset: the dataset artifact, with the manifest.
        examples: the examples artifact of each worker.
        image_size: stored height and width, in pixels.
        store: root of the store, a directory or gs://.
        info: the info artifact, a local directory.
        page: file of the report page.

    Raises:
        ConfigError: a parameter is wrong.
        DataError: a shard is missing, or the dataset cannot be trained on; the report is written first.
        StorageError: the store cannot be read or written.
    """
    image_size = checked(image_size=image_size, store=store).image_size
    source = SOURCE.read(Path(dataset))
    shares = [SHARE.read(Path(path)) for path in examples]
    index = [row for path in examples for row in INDEX.read(Path(path))]
    quarantine = [row for path in examples for row in QUARANTINE.read(Path(path))]
    manifest = MANIFEST.read(Path(dataset))
    target = storage.join(store, "records", record_files.address(manifest, source, image_size))
    findings = check(index, quarantine, source["labels"])
    findings["warnings"] += _source_warnings(source) + _dark(shares)
    findings["problems"] += _missing_shards(shares, source["shards"], target) or _other_images(
        manifest, [*index, *quarantine]
    )
    report: Validation = {
        "counts": findings["counts"],
        "quarantined": findings["quarantined"],
        "duplicates": findings["duplicates"],
        "problems": findings["problems"],
        "warnings": findings["warnings"],
        "valid": not findings["problems"],
    }
    out = Path(info)
    VALIDATION.write(out, report)
    QUARANTINE.write(out, quarantine)
    pages.write(Path(page), "validation.html", findings=report, source=source, quarantine=quarantine)
    for line in findings["warnings"]:
        say(line)
    if findings["problems"]:
        raise DataError("; ".join(findings["problems"]))
    _describe(target, source, image_size, shares)
    artifacts.write_file(out / LABELS_FILE, ("\n".join(source["labels"]) + "\n").encode())
    INFO.write(out, _dataset_info(source, target, image_size, index, quarantine))


def check(index: Sequence[IndexRow], quarantine: Sequence[QuarantineRow], labels: Sequence[str]) -> Findings:
    """Count the images and find problems: a pure function.

    Args:
        index: the readable images.
        quarantine: the unreadable images.
        labels: class names by index.
    """
    counts = splits.count(index, labels)
    problems = [
        f"class {label!r}: none of its images can be read"
        for label in labels
        if not any(counts[split][label] for split in splits.SPLITS)
    ]
    if not problems:
        problems = [
            f"class {label!r}: has no readable images in the {split} split"
            for split in ("train", "test")
            for label, number in counts[split].items()
            if not number
        ]
    duplicates = len(index) - len({row["sha256"] for row in index})
    warnings = []
    if quarantine:
        names = listed([row["id"] for row in quarantine])
        warnings.append(f"{len(quarantine)} images cannot be read and are set aside: {names}")
    if duplicates:
        warnings.append(f"{duplicates} images are copies of others; copies are always in the same split")
    return {
        "counts": counts,
        "quarantined": len(quarantine),
        "duplicates": duplicates,
        "problems": problems,
        "warnings": warnings,
    }


def _source_warnings(source: Source) -> list[str]:
    """Warnings about what ingest left out."""
    warnings = []
    conflicts, unmatched = source["conflicts"], source["unmatched"]
    if conflicts:
        warnings.append(f"{len(conflicts)} files left out, because their image has two labels: {listed(conflicts)}")
    across = source.get("across", [])
    if across:
        warnings.append(f"{len(across)} files left out, because their image is also in another split: {listed(across)}")
    if unmatched["count"]:
        first = unmatched["first"]
        warnings.append(f"{unmatched['count']:,} rows of metadata.csv match no image; the first is {first!r}")
    return warnings


def _dark(shares: Sequence[Share]) -> list[str]:
    """A warning about images of 16 bits that are nearly black, because their values are those of fewer bits."""
    names = sorted(name for share in shares for name in share["dark"])
    if not names:
        return []
    return [
        f"{len(names)} images of 16 bits use at most a sixteenth of their range; they are taken as they are, nearly "
        f"black; if they have 12 bits, multiply their values by 16 here and before serving: {listed(names)}"
    ]


def _missing_shards(shares: Sequence[Share], expected: int, target: str) -> list[str]:
    """Problems with the shards and their files in the store."""
    names, wanted = sorted(shard for share in shares for shard in share["shards"]), shard_files.names(expected)
    problems = [f"shards: received {names}; expected {wanted}"] if names != wanted else []
    for share in shares:
        for name, entry in share["files"].items():
            stat = storage.stat(storage.join(target, name))
            if stat is None or stat.size != entry["bytes"]:
                problems.append(f"{name}: is missing from the store, or its size has changed; run the pipeline again")
    return problems


def _other_images(manifest: Sequence[ManifestRow], found: Sequence[IndexRow]) -> list[str]:
    """A problem if the shards have an image, a label or a split that the manifest has not, or lack one."""
    wanted, received = (
        {(row["id"], row["sha256"], row["label"], row["split"]) for row in rows} for rows in (manifest, found)
    )
    other = sorted({row[0] for row in wanted ^ received})
    if not other:
        return []
    return [f"{len(other)} images or labels are not those of the manifest: {listed(other)}; run the pipeline again"]


def _describe(target: str, source: Source, image_size: int, shares: Sequence[Share]) -> None:
    """Write the files into the store that TFDS needs to read the records; the class names are among them."""
    files: dict[SplitName, list[ShardFile]] = {split: [] for split in splits.SPLITS}
    entries = dict(sorted((name, entry) for share in shares for name, entry in share["files"].items()))
    for entry in entries.values():
        files[entry["split"]].append(entry)
    for name, data in record_files.metadata(source["name"], source["labels"], image_size, files).items():
        storage.write_bytes(storage.join(target, name), data)


def _dataset_info(
    source: Source, target: str, image_size: int, index: Sequence[IndexRow], quarantine: Sequence[QuarantineRow]
) -> DatasetInfo:
    counts = splits.count(index, source["labels"])
    return {
        "name": source["name"],
        "labels": source["labels"],
        "records": target,
        "image_size": image_size,
        "source": source["source"],
        "manifest_digest": source["manifest_digest"],
        "counts": counts,
        "splits": {split: sum(by_label.values()) for split, by_label in counts.items()},
        "quarantined": sorted(row["id"] for row in quarantine),
        "dataset_digest": digests.of_json(sorted((row["sha256"], row["label"], row["split"]) for row in index)),
        "split_digests": {
            split: splits.digest((row["sha256"], row["label"]) for row in index if row["split"] == split)
            for split in splits.SPLITS
        },
    }
