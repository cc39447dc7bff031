"""Write the images of a worker's shards as TFRecords into the store, one shard after the other.

A shard's state file is written last; a retried or repeated run that finds it skips the shard.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf

from frostline import storage
from frostline.data import formats, images, record_files, records
from frostline.data import shards as shard_files
from frostline.data.splits import SPLITS
from frostline.documents.data import (
    INDEX,
    MANIFEST,
    QUARANTINE,
    SHARE,
    SOURCE,
    IndexRow,
    ManifestRow,
    QuarantineRow,
    ShardFile,
    ShardState,
    Source,
)
from frostline.errors import DataError
from frostline.events import progress, say
from frostline.text import one_line

_CHUNK = 64  # images whose records are in memory at once
_MOST_THREADS = 16  # of which each can take 40 MB: a node has more cores than a pod may use


def run(*, dataset: str, worker: str, image_size: int, store: str, examples: str) -> None:
    """Decode, resize and store the images of a worker's shards; write index.jsonl, quarantine.jsonl and share.json.

    An image that cannot be decoded is set aside with the reason, and does not fail the shard.

    Args:
        dataset: the dataset artifact, with the manifest.
        worker: name of the worker, `WWWWW-of-NNNNN`, which decides the shards.
        image_size: stored height and width, in pixels.
        store: root of the store, a directory or gs://.
        examples: the examples artifact, a local directory.

    Raises:
        ConfigError: the name of the worker is malformed.
        DataError: an image's bytes are no longer those of the manifest.
        StorageError: the source cannot be read, or the store cannot be written.
    """
    source, manifest = SOURCE.read(Path(dataset)), MANIFEST.read(Path(dataset))
    target = storage.join(store, "records", record_files.address(manifest, source, image_size))
    shards = shard_files.share(worker, source["shards"])
    states = [_finish(manifest, source, shard, image_size, target) for shard in shards]
    out = Path(examples)
    INDEX.write(out, [row for state in states for row in state["index"]])
    QUARANTINE.write(out, [row for state in states for row in state["quarantine"]])
    SHARE.write(
        out,
        {
            "worker": worker,
            "shards": shards,
            "records": target,
            "files": {name: file for state in states for name, file in state["files"].items()},
            "dark": [name for state in states for name in state.get("dark", [])],
        },
    )


def _finish(manifest: Sequence[ManifestRow], source: Source, shard: str, image_size: int, target: str) -> ShardState:
    """The state of a shard, whose files are in the store then."""
    number, count = shard_files.parse_name(shard)
    rows = manifest[number::count]
    state = _finished(target, shard, rows)
    if state is not None:
        say(f"shard {shard}: already finished in the store")
        return state
    with tempfile.TemporaryDirectory() as directory:
        state = _write(rows, source["name"], shard, image_size, Path(directory))
        for name in state["files"]:
            storage.upload_file(Path(directory) / name, storage.join(target, name))
    shard_files.write_state(target, shard, state)
    if state["quarantine"]:
        say(f"shard {shard}: {len(state['quarantine'])} of {len(rows)} images cannot be read and are set aside")
    return state


def _finished(target: str, shard: str, rows: Sequence[ManifestRow]) -> ShardState | None:
    """The shard's state, if an earlier run finished it for these rows and its files still have the sizes it wrote."""
    try:
        state = shard_files.read_state(target, shard)
    except DataError:
        return None
    if not _is_of(state, rows):
        say(f"shard {shard}: the store has other images or labels than the manifest; it is written again")
        return None
    found = {name: storage.stat(storage.join(target, name)) for name in state["files"]}
    intact = all(stat is not None and stat.size == state["files"][name]["bytes"] for name, stat in found.items())
    return state if intact else None


def _is_of(state: ShardState, rows: Sequence[ManifestRow]) -> bool:
    """Whether a shard has the images, labels and splits of these rows, in their order, each read or set aside."""
    wanted = [_index_row(row) for row in rows]
    try:
        aside = {row["id"] for row in state["quarantine"]}
        counts = Counter(row["split"] for row in state["index"])
        return (
            state["index"] == [row for row in wanted if row["id"] not in aside]
            and [_index_row(row) for row in state["quarantine"]] == [row for row in wanted if row["id"] in aside]
            and all(file["examples"] == counts[file["split"]] for file in state["files"].values())
        )
    except (AttributeError, KeyError, TypeError):  # others can write to the store
        return False


def _write(rows: Sequence[ManifestRow], dataset: str, shard: str, image_size: int, directory: Path) -> ShardState:
    """Write the TFRecord files of a shard into `directory`."""
    index: list[IndexRow] = []
    quarantine: list[QuarantineRow] = []
    dark: list[str] = []
    counts = dict.fromkeys(SPLITS, 0)
    with records.writers(directory, dataset, shard) as writer:
        for row, record, narrow in progress(_records(rows, image_size), total=len(rows), unit="images"):
            if isinstance(record, str):
                quarantine.append({**_index_row(row), "reason": record})
                continue
            writer[row["split"]].write(record)
            counts[row["split"]] += 1
            index.append(_index_row(row))
            if narrow:
                dark.append(row["id"])
    files: dict[str, ShardFile] = {}
    for split, examples in counts.items():
        path = directory / record_files.file_name(dataset, split, shard)
        files[path.name] = {"split": split, "examples": examples, "bytes": path.stat().st_size}
    return {"index": index, "quarantine": quarantine, "files": files, "dark": dark}


def _records(rows: Sequence[ManifestRow], image_size: int) -> Iterator[tuple[ManifestRow, bytes | str, bool]]:
    """Yield each row, in order, with its record, or with the reason why its image cannot be read. All cores decode.

    The third value says whether the image is of 16 bits and uses at most a sixteenth of them.
    """

    large_ones = threading.Lock()
    ways = {usual: images.traced(image_size, usual=usual) for usual in (True, False)}

    def record(row: ManifestRow) -> tuple[ManifestRow, bytes | str, bool]:
        data = records.original(row)
        is_large, decoded = ways[images.is_usual(data)]
        try:
            with large_ones if is_large(data) else contextlib.nullcontext():
                image = decoded(data)
                narrow = images.uses_a_sixteenth(data)
        except tf.errors.InvalidArgumentError:
            with large_ones:
                return row, _known(data) or _reason(data), False
        return row, records.serialize(image, row["label"], row["sha256"]), narrow

    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
        for start in range(0, len(rows), _CHUNK):
            yield from pool.map(record, rows[start : start + _CHUNK])


def _index_row(row: ManifestRow | QuarantineRow) -> IndexRow:
    return {"id": row["id"], "sha256": row["sha256"], "label": row["label"], "split": row["split"]}


def _known(data: bytes) -> str:
    kind = formats.not_decoded(data)
    return f"is a {kind} file, which cannot be read; convert it to JPEG or PNG" if kind else ""


def _reason(data: bytes) -> str:
    """TensorFlow's message without the names of its operations; without a graph there are fewer of these."""
    try:
        images.decode(tf.constant(data))
    except tf.errors.InvalidArgumentError as error:
        return one_line(re.sub(r"\{\{.*?\}\}|\[Op:.*", "", error.message, flags=re.DOTALL), 200)
    return "cannot be decoded"
