"""The validate stage: the shards as one dataset, checked before anything is trained on it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frostline import artifacts, digests, storage
from frostline.artifacts import Json
from frostline.data import records
from frostline.data.splits import SPLITS
from frostline.errors import DataError
from frostline.events import say, step
from frostline.reporting import pages


@step("validate")
def run(*, dataset: str, examples: Sequence[str], image_size: int, store: str, info: str, page: str) -> None:
    """Gather the shards and write labels.txt, info.json, report.json and the report page.

    Beside the records go features.json, dataset_info.json and the class names, so that TFDS reads the directory.

    Raises:
        DataError: a shard is missing, or the dataset cannot be trained on; the report is written first.
    """
    source = artifacts.read_json(Path(dataset) / "source.json", "source")
    shards = sorted(
        (artifacts.read_json(Path(path) / "shard.json", "shard") for path in examples), key=lambda s: s["shard"]
    )
    index = [row for path in examples for row in artifacts.read_jsonl(Path(path) / "index.jsonl")]
    quarantine = [row for path in examples for row in artifacts.read_jsonl(Path(path) / "quarantine.jsonl")]
    manifest = artifacts.read_jsonl(Path(dataset) / "manifest.jsonl")
    target = storage.join(store, "records", records.address(manifest, source, image_size))
    findings = check(index, quarantine, source["labels"])
    if source["conflicts"]:
        findings["warnings"].append(
            f"{len(source['conflicts'])} files were left out: the same image under two labels: "
            + ", ".join(source["conflicts"][:3])
            + ("" if len(source["conflicts"]) <= 3 else ", ...")
        )
    unmatched = source["unmatched"]
    if unmatched["count"]:
        first = unmatched["first"]
        findings["warnings"].append(f"{unmatched['count']:,} rows of metadata.csv match no image, {first!r} first")
    findings["problems"] += _missing_shards(shards, source["shards"], target)
    findings["valid"] = not findings["problems"]
    artifacts.write_json(Path(info) / "report.json", "validation", findings)
    artifacts.write_jsonl(Path(info) / "quarantine.jsonl", quarantine)
    pages.write(Path(page), "validation.html", findings=findings, source=source, quarantine=quarantine)
    for line in findings["warnings"]:
        say(line)
    if findings["problems"]:
        raise DataError("; ".join(findings["problems"]))
    _describe(target, source, image_size, shards)
    artifacts.write_file(Path(info) / "labels.txt", ("\n".join(source["labels"]) + "\n").encode())
    artifacts.write_json(
        Path(info) / "info.json",
        "info",
        {
            "name": source["name"],
            "labels": source["labels"],
            "records": target,
            "image_size": image_size,
            "source": source["source"],
            "manifest_digest": source["manifest_digest"],
            "counts": findings["counts"],
            "splits": {split: sum(counts.values()) for split, counts in findings["counts"].items()},
            "quarantined": sorted(row["id"] for row in quarantine),
            "dataset_digest": digests.of_json(sorted((row["sha256"], row["label"], row["split"]) for row in index)),
        },
    )


def check(index: Sequence[Json], quarantine: Sequence[Json], labels: Sequence[str]) -> Json:
    """Count what there is and say what is wrong with it: a pure function.

    Args:
        index: one row for each readable image: id, sha256, label, split.
        quarantine: the same for unreadable ones, with a reason.
        labels: class names by index.

    Returns:
        {counts: {split: {label: n}}, quarantined, duplicates, problems, warnings}.
    """
    counted = Counter((row["split"], row["label"]) for row in index)
    counts = {split: {label: counted[split, number] for number, label in enumerate(labels)} for split in SPLITS}
    problems = [
        f"class {label!r}: none of its images can be read"
        for number, label in enumerate(labels)
        if not any(counted[split, number] for split in SPLITS)
    ]
    if not problems:
        problems = [
            f"class {label!r}: no readable image is left in the {split} split"
            for split in ("train", "test")
            for label, number in counts[split].items()
            if not number
        ]
    duplicates = len(index) - len({row["sha256"] for row in index})
    warnings = []
    if quarantine:
        warnings.append(f"{len(quarantine)} unreadable images are set aside, {quarantine[0]['id']} first")
    if duplicates:
        warnings.append(f"{duplicates} images are copies of others; copies share a split")
    return {
        "counts": counts,
        "quarantined": len(quarantine),
        "duplicates": duplicates,
        "problems": problems,
        "warnings": warnings,
    }


def _missing_shards(shards: Sequence[Json], expected: int, target: str) -> list[str]:
    names = [shard["shard"] for shard in shards]
    wanted = [f"{number:05d}-of-{expected:05d}" for number in range(expected)]
    problems = [f"shards: received {names}; expected {wanted}"] if names != wanted else []
    for shard in shards:
        for name, entry in shard["files"].items():
            stat = storage.stat(storage.join(target, name))
            if stat is None or stat.size != entry["bytes"]:
                problems.append(f"{name}: is missing from the store or has another size than its shard wrote")
    return problems


def _describe(target: str, source: Json, image_size: int, shards: Sequence[Json]) -> None:
    splits: dict[str, list[Any]] = {split: [] for split in SPLITS}
    for shard in shards:
        for entry in shard["files"].values():
            splits[entry["split"]].append(entry)
    with tempfile.TemporaryDirectory() as directory:
        for shard in shards:  # TFDS looks at the names of the data files only, so empty ones will do
            for name in shard["files"]:
                (Path(directory) / name).touch()
        records.describe(Path(directory), source["name"], source["labels"], image_size, splits)
        for path in sorted(Path(directory).glob("*.json")) + sorted(Path(directory).glob("*.labels.txt")):
            storage.write_bytes(storage.join(target, path.name), path.read_bytes())
