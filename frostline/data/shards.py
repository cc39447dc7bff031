"""Shards of a dataset: their names, which worker takes which, and the state file of what was written for one shard.

The state file lies next to the TFRecords and is written last, so a shard that has one is complete.
"""

from __future__ import annotations

import re
from typing import cast

from frostline import artifacts, digests, storage
from frostline.documents.data import SHARD_STATE_KIND, ShardState
from frostline.errors import ConfigError, DataError, NotFound

_NAME = re.compile("([0-9]{5})-of-([0-9]{5})")
_SEAL = "digest"  # of everything else in a state file


def names(count: int) -> list[str]:
    """Names of all shards, in order: `00000-of-00002`, `00001-of-00002`."""
    return [f"{number:05d}-of-{count:05d}" for number in range(count)]


def share(worker: str, count: int) -> list[str]:
    """Names of the shards that a worker, `WWWWW-of-NNNNN`, takes of `count`: every Nth.

    Raises:
        ConfigError: the worker's name is malformed.
    """
    number, workers = parse_name(worker, field="worker")
    return names(count)[number::workers]


def parse_name(name: str, field: str = "shard") -> tuple[int, int]:
    """Number and count of a shard or a worker: `00001-of-00004` gives (1, 4). `field` says which, in messages.

    Raises:
        ConfigError: the name is malformed.
    """
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if not found or int(found[1]) >= int(found[2]):
        raise ConfigError(field, name, "expected SSSSS-of-NNNNN")
    return int(found[1]), int(found[2])


def state_name(shard: str) -> str:
    """File name of a shard's state."""
    return f"shard-{shard}.json"


def with_state(records: str) -> list[str]:
    """Names of the shards that have a state file, sorted.

    Args:
        records: address of the records, a directory or gs://.
    """
    files = [item.uri.rpartition("/")[2] for item in storage.list_files(records)]
    return sorted(
        file.removeprefix("shard-").removesuffix(".json")
        for file in files
        if file.startswith("shard-") and file.endswith(".json")
    )


def read_state(records: str, shard: str) -> ShardState:
    """Read a shard's state.

    Args:
        records: address of the records, a directory or gs://.
        shard: name of the shard.

    Raises:
        DataError: the file is missing, is not JSON, has another schema, or is not what was written.
        StorageError: it cannot be read.
    """
    uri = storage.join(records, state_name(shard))
    try:
        state = artifacts.parse_json(storage.read_bytes(uri), uri)
    except NotFound:
        raise DataError(f"{uri}: is missing; run the pipeline again to write it") from None
    expected = artifacts.schema(SHARD_STATE_KIND)
    if state.get("schema") != expected:
        raise DataError(f"{uri}: received schema {state.get('schema')!r}; expected {expected!r}")
    if state.pop(_SEAL, None) != digests.of_json(state):
        raise DataError(f"{uri}: is not what was written; run the pipeline again to write it")
    return cast(ShardState, state)


def write_state(records: str, shard: str, state: ShardState) -> None:
    """Write a shard's state, with its schema.

    Raises:
        StorageError: it cannot be written.
    """
    content = {**state, "schema": artifacts.schema(SHARD_STATE_KIND)}
    sealed = {**content, _SEAL: digests.of_json(content)}
    storage.write_bytes(storage.join(records, state_name(shard)), digests.canonical_json(sealed))
