"""Records as preprocessing leaves them in the store, of images that a test makes itself."""

import hashlib
from pathlib import Path

import numpy as np

from frostline import artifacts, digests
from frostline.data import examples, records

SHARDS = 2


def identifier(number):
    """What stands for the SHA-256 of an image's original bytes."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def noise(count, size, seed=0):
    """Images: [count, size, size, 3] uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def write(directory, pixels, splits=("train",)):
    """Image i goes into shard i mod SHARDS and split i mod len(splits), with i as its label; returns the directory."""
    for shard in (f"{number:05d}-of-{SHARDS:05d}" for number in range(SHARDS)):
        index = []
        with records.writers(Path(directory), "toy", shard) as writer:
            for number in range(records.parse_shard(shard)[0], len(pixels), SHARDS):
                split = splits[number % len(splits)]
                writer[split].write(records.serialize(pixels[number], number, identifier(number)))
                index.append({"sha256": identifier(number), "label": number, "split": split})
        files = {}
        for split in ("train", "validation", "test"):
            held = sum(row["split"] == split for row in index)
            files[records.file_name("toy", split, shard)] = {"split": split, "examples": held}
        state = {"schema": artifacts.schema("shard_state"), "index": index, "files": files}
        (Path(directory) / examples.state_name(shard)).write_bytes(digests.canonical_json(state))
    return Path(directory)
