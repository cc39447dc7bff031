"""The preprocess stage: one shard of the manifest becomes TFRecords in the store.

The shard's state file is written last: a retried or repeated run that finds it does no work again.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf

from frostline import artifacts, digests, storage
from frostline.artifacts import Json
from frostline.data import images, records
from frostline.data.splits import SPLITS
from frostline.errors import DataError, NotFound
from frostline.events import progress, say, step
from frostline.text import one_line

_AT_ONCE = 64  # images whose records are in memory


@step("preprocess")
def run(*, dataset: str, shard: str, image_size: int, store: str, examples: str) -> None:
    """Decode, resize and store one shard's images; write index.jsonl and quarantine.jsonl.

    An image that cannot be decoded is set aside with the reason; it never fails the shard.

    Raises:
        DataError: an image's bytes are no longer those of the manifest.
        StorageError: the source cannot be read, or the store cannot be written.
    """
    number, count = records.parse_shard(shard)
    source = artifacts.read_json(Path(dataset) / "source.json", "source")
    manifest = list(artifacts.read_jsonl(Path(dataset) / "manifest.jsonl"))
    target = storage.join(store, "records", records.address(manifest, source, image_size))
    rows = manifest[number::count]
    state_uri = storage.join(target, f"shard-{shard}.json")
    state = _finished(state_uri, target)
    if state is None:
        with tempfile.TemporaryDirectory() as directory:
            state = _write(rows, source["name"], shard, image_size, Path(directory))
            for name in state["files"]:
                storage.upload_file(Path(directory) / name, storage.join(target, name))
        state = {"schema": artifacts.schema("shard_state"), **state}
        storage.write_bytes(state_uri, digests.canonical_json(state))
    else:
        say(f"shard {shard}: found finished in the store")
    artifacts.write_jsonl(Path(examples) / "index.jsonl", state["index"])
    artifacts.write_jsonl(Path(examples) / "quarantine.jsonl", state["quarantine"])
    artifacts.write_json(
        Path(examples) / "shard.json", "shard", {"shard": shard, "records": target, "files": state["files"]}
    )
    if state["quarantine"]:
        say(f"shard {shard}: {len(state['quarantine'])} of {len(rows)} images cannot be read and are set aside")


def _finished(state_uri: str, target: str) -> Json | None:
    """The shard's state if an earlier run finished it and its files still have the sizes that it wrote."""
    try:
        state = artifacts.parse_json(storage.read_bytes(state_uri), state_uri)
    except (NotFound, DataError):
        return None
    if state.get("schema") != artifacts.schema("shard_state"):
        return None
    found = {name: storage.stat(storage.join(target, name)) for name in state["files"]}
    whole = all(stat is not None and stat.size == state["files"][name]["bytes"] for name, stat in found.items())
    return state if whole else None


def _write(rows: Sequence[Json], dataset: str, shard: str, image_size: int, directory: Path) -> Json:
    index, quarantine = [], []
    counts = dict.fromkeys(SPLITS, 0)
    with records.writers(directory, dataset, shard) as writer:
        for row, record in progress(_records(rows, image_size), total=len(rows), unit="images"):
            if isinstance(record, str):
                quarantine.append({**_public(row), "reason": record})
                continue
            writer[row["split"]].write(record)
            counts[row["split"]] += 1
            index.append(_public(row))
    files = {}
    for split, examples in counts.items():
        path = directory / records.file_name(dataset, split, shard)
        files[path.name] = {"split": split, "examples": examples, "bytes": path.stat().st_size}
    return {"index": index, "quarantine": quarantine, "files": files}


def _records(rows: Sequence[Json], image_size: int) -> Iterator[tuple[Json, bytes | str]]:
    """Each row with its record, in order; with the reason where its image cannot be read. All cores decode."""

    def record(row: Json) -> bytes | str:
        try:
            image = images.from_bytes(tf.constant(records.original(row)), image_size)
        except tf.errors.InvalidArgumentError as error:
            return _reason(error)
        return records.serialize(image, row["label"], row["sha256"])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(rows), _AT_ONCE):
            chunk = rows[start : start + _AT_ONCE]
            yield from zip(chunk, pool.map(record, chunk), strict=True)


def _public(row: Json) -> Json:
    return {key: row[key] for key in ("id", "sha256", "label", "split")}


def _reason(error: tf.errors.InvalidArgumentError) -> str:
    """TensorFlow's message without the names of its operations."""
    return one_line(re.sub(r"\{\{.*?\}\}|\[Op:.*", "", error.message, flags=re.DOTALL), 200)
