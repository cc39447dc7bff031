"""Records as preprocessing writes them into the store, of images that a test makes itself."""

import hashlib
from pathlib import Path

import numpy as np

from frostline.data import record_files, records, shards
from frostline.data.splits import SPLITS

SHARDS = 2


def identifier(number):
    """Takes the place of the SHA-256 of an image's original bytes."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def noise(count, size, seed=0):
    """Images: [count, size, size, 3] uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def write(directory, pixels, splits=("train",)):
    """Image i goes into shard i mod SHARDS and split i mod len(splits), with i as its label; returns the directory."""
    directory = Path(directory)
    for shard in shards.names(SHARDS):
        index = []
        with records.writers(directory, "toy", shard) as writer:
            for number in range(shards.parse_name(shard)[0], len(pixels), SHARDS):
                split, sha256 = splits[number % len(splits)], identifier(number)
                writer[split].write(records.serialize(pixels[number], number, sha256))
                index.append({"id": f"toy/{number}.png", "sha256": sha256, "label": number, "split": split})
        files = {}
        for split in SPLITS:
            path = directory / record_files.file_name("toy", split, shard)
            examples = sum(row["split"] == split for row in index)
            files[path.name] = {"split": split, "examples": examples, "bytes": path.stat().st_size}
        shards.write_state(str(directory), shard, {"index": index, "quarantine": [], "files": files})
    return directory
