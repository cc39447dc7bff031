"""Shards: their names, and the state file that says what preprocessing wrote."""

import hashlib
import json
import re

import pytest

from frostline import storage
from frostline.data import shards
from frostline.errors import ConfigError, DataError

ROW = {"id": "cats/1.png", "sha256": "a" * 64, "label": 0, "split": "train"}
FILE = {"split": "train", "examples": 1, "bytes": 90}
STATE = {"index": [ROW], "quarantine": [], "files": {"toy-train.tfrecord-00000-of-00002": FILE}}


def test_a_name_has_the_number_and_the_count():
    assert shards.names(2) == ["00000-of-00002", "00001-of-00002"]
    for count in (1, 3, 1000):
        assert [shards.parse_name(name) for name in shards.names(count)] == [(n, count) for n in range(count)]


@pytest.mark.parametrize("name", ["", "1", "00002-of-00002", "a-of-b", "-1-of-2", "1-of-", "0-of-0", "0-of-2",
                                  "\u00b2-of-9", "\u0661-of-\u0669", "00000-of-00000", "000000-of-00002"])  # fmt: skip
def test_a_malformed_name_is_refused(name):
    with pytest.raises(ConfigError, match=f"^shard: received '{name}'; expected SSSSS-of-NNNNN$"):
        shards.parse_name(name)


def test_a_worker_with_a_malformed_name_is_refused():
    for name in ("\u00b2-of-9", "00002-of-00002", "00000-of-00002\n", None):
        with pytest.raises(ConfigError, match=r"^worker: received .*; expected SSSSS-of-NNNNN$"):
            shards.share(name, 4)


def test_a_state_is_read_as_it_was_written(root):
    shards.write_state(root, "00000-of-00002", STATE)
    assert shards.read_state(root, "00000-of-00002") == {"schema": "frostline/shard_state/v1", **STATE}


def test_the_bytes_of_a_state_are_pinned(tmp_path):
    """A repeated run compares nothing else, and states in a store outlive a version of the code."""
    shards.write_state(str(tmp_path), "00000-of-00002", STATE)
    content = (
        b'"files":{"toy-train.tfrecord-00000-of-00002":{"bytes":90,"examples":1,"split":"train"}},'
        b'"index":[{"id":"cats/1.png","label":0,"sha256":"' + b"a" * 64 + b'","split":"train"}],'
        b'"quarantine":[],"schema":"frostline/shard_state/v1"}'
    )
    seal = hashlib.sha256(b"{" + content).hexdigest().encode()
    written = (tmp_path / "shard-00000-of-00002.json").read_bytes()
    assert written == b'{"digest":"' + seal + b'",' + content


def test_any_flipped_bit_of_a_state_is_noticed(tmp_path):
    shards.write_state(str(tmp_path), "00000-of-00002", STATE)
    path = tmp_path / "shard-00000-of-00002.json"
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :])
        with pytest.raises(DataError, match=r"shard-00000-of-00002.json: "):
            shards.read_state(str(tmp_path), "00000-of-00002")


def test_a_state_without_a_seal_is_written_again(tmp_path):
    content = json.dumps({"schema": "frostline/shard_state/v1", **STATE})
    (tmp_path / "shard-00000-of-00002.json").write_text(content)
    with pytest.raises(DataError, match="is not what was written; run the pipeline again to write it"):
        shards.read_state(str(tmp_path), "00000-of-00002")


def test_only_shards_with_a_state_are_listed_in_order(root):
    for name in ("00001-of-00002", "00000-of-00002"):
        shards.write_state(root, name, STATE)
    for other in ("toy-train.tfrecord-00000-of-00002", "features.json", "shard-00000-of-00002.txt"):
        storage.write_bytes(storage.join(root, other), b"{}")
    assert shards.with_state(root) == ["00000-of-00002", "00001-of-00002"]


def test_a_missing_state_is_named_with_what_to_do(root):
    with pytest.raises(DataError, match=re.escape(f"{root}/shard-00000-of-00001.json: is missing; run the pipeline")):
        shards.read_state(root, "00000-of-00001")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not JSON"),
        (b"[]", "received a JSON list; expected an object"),
        (b"{}", "received schema None; expected 'frostline/shard_state/v1'"),
        (b'{"schema": "frostline/shard/v1"}', "received schema 'frostline/shard/v1'; expected"),
    ],
)
def test_a_damaged_or_foreign_state_is_refused_in_one_line(tmp_path, data, message):
    (tmp_path / "shard-00000-of-00001.json").write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        shards.read_state(str(tmp_path), "00000-of-00001")
    assert "\n" not in str(caught.value)
