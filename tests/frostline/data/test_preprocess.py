"""Preprocessing: records, quarantine, reuse of finished shards, and refusals, on real files."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import tensorflow as tf

from frostline.data import images
from frostline.data import shards as shard_files
from frostline.documents.data import INDEX, INFO, MANIFEST, QUARANTINE, SHARE
from frostline.errors import ConfigError, DataError, StorageError

from tests.support import bombs
from tests.support.stages import Bench


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def records_of(bench):
    return Path(INFO.read(Path(bench.path("info")))["records"])


def test_every_image_is_in_the_index_and_in_the_records_of_its_split(bench, photos):
    examples = bench.preprocess(bench.ingest(photos(per_class=24)))
    index = [row for path in examples for row in INDEX.read(Path(path))]
    manifest = MANIFEST.read(Path(bench.path("dataset")))
    expected = [{key: row[key] for key in ("id", "sha256", "label", "split")} for row in manifest]
    assert sorted(index, key=lambda row: row["id"]) == sorted(expected, key=lambda row: row["id"])
    for path in map(Path, examples):
        share, counts = SHARE.read(path), Counter(row["split"] for row in INDEX.read(path))
        assert path.name == f"examples-{share['worker']}"
        assert share["shards"] == [share["worker"]]
        for name, entry in share["files"].items():
            written = Path(share["records"]) / name
            records = list(tf.data.TFRecordDataset(str(written)))
            assert entry["examples"] == len(records) == counts[entry["split"]]
            assert entry["bytes"] == written.stat().st_size


def test_an_unreadable_file_is_set_aside_with_a_short_reason(bench, photos, capfd):
    source = photos(per_class=24)
    (source / "jade" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no photo")
    (source / "jade" / "empty.jpg").write_bytes(b"")
    examples = bench.preprocess(bench.ingest(source))
    quarantine = {row["id"]: row["reason"] for path in examples for row in QUARANTINE.read(Path(path))}
    assert set(quarantine) == {"jade/broken.jpg", "jade/empty.jpg"}
    assert quarantine["jade/empty.jpg"] == "Input is empty."
    assert not any(mark in reason for reason in quarantine.values() for mark in ("\n", "{{", "[Op", "job:"))
    assert sum(len(INDEX.read(Path(path))) for path in examples) == 72
    assert "images cannot be read and are set aside" in capfd.readouterr().err


def test_a_small_file_that_claims_a_huge_picture_is_set_aside_and_named(bench, photos):
    source = photos(per_class=24)
    for name, data in (("huge.png", bombs.make()["png"]), ("huge.jpg", bombs.make()["jpeg"])):
        (source / "jade" / name).write_bytes(data)
    examples = bench.preprocess(bench.ingest(source))
    quarantine = {row["id"]: row["reason"] for path in examples for row in QUARANTINE.read(Path(path))}
    assert quarantine == dict.fromkeys(
        ("jade/huge.jpg", "jade/huge.png"), "it has more than 67,108,864 pixels; make it smaller"
    )


def test_a_repeated_run_reuses_finished_shards_and_rewrites_a_damaged_one(bench, photos, monkeypatch):
    shards = bench.ingest(photos(per_class=24))
    bench.validate(bench.preprocess(shards))
    records = records_of(bench)
    before = {path.name: path.read_bytes() for path in records.iterdir()}
    decoded = []
    is_large, decode = images.traced(32, usual=True)
    counting = is_large, lambda data: decoded.append(1) or decode(data)
    monkeypatch.setattr(images, "traced", lambda size, *, usual: counting)
    bench.validate(bench.preprocess(shards))
    assert not decoded
    damaged = sorted(records.glob("*-train.tfrecord-00000*"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-7])
    bench.validate(bench.preprocess(shards))
    assert 0 < len(decoded) < 72  # one shard of two
    assert {path.name: path.read_bytes() for path in records.iterdir()} == before


def test_another_number_of_shards_or_size_has_another_address(bench, photos):
    from frostline import ingest

    source = photos(per_class=24)
    bench.data(source)
    two = records_of(bench)
    bench.validate(bench.preprocess(bench.ingest(source), size=24), size=24)
    assert records_of(bench) != two
    three = ingest.run(
        source=str(source), data={}, shards=3, workers=3, store=bench.store, dataset=bench.path("dataset")
    )
    bench.validate(bench.preprocess(three))
    assert records_of(bench) != two


def test_an_image_that_changed_after_ingest_fails_the_shard(bench, photos):
    source = photos(per_class=24)
    shards = bench.ingest(source)
    victim = source / "amber" / "000.jpg"
    victim.write_bytes(victim.read_bytes()[::-1])
    with pytest.raises(DataError, match=r"amber/000\.jpg: has changed since it was ingested"):
        bench.preprocess(shards)
    assert len(list(Path(bench.store).rglob("shard-*.json"))) < len(shards)  # the failed shard has none


def test_a_malformed_shard_name_is_refused(bench, photos):
    bench.ingest(photos(per_class=24))
    for shard in ("1", "00002-of-00002", "a-of-b", "-1-of-2"):
        with pytest.raises(ConfigError, match="expected SSSSS-of-NNNNN"):
            bench.preprocess([shard])


def test_a_store_that_cannot_be_written_fails_in_one_line(bench, photos, tmp_path):
    shards = bench.ingest(photos(per_class=24))
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    bench.store = str(blocker / "store")
    with pytest.raises(StorageError) as caught:
        bench.preprocess(shards)
    assert str(blocker) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_are_the_same_whatever_the_directory(tmp_path, photos):
    source = photos(per_class=24)
    contents = []
    for name in ("one", "two"):
        bench = Bench(tmp_path / name)
        copy = tmp_path / f"copy-{name}"
        shutil.copytree(source, copy)
        bench.data(copy)
        contents.append({p.name: p.read_bytes() for p in records_of(bench).glob("*.tfrecord-*")})
    assert contents[0] == {k.replace("copy_two", "copy_one"): v for k, v in contents[1].items()}


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"schema": "frostline/other/v1"}'])
def test_a_damaged_shard_state_is_written_again(bench, photos, damage):
    shards = bench.ingest(photos(per_class=24))
    bench.preprocess(shards)
    state = sorted(Path(bench.store).rglob("shard-*.json"))[0]
    whole = state.read_bytes()
    state.write_bytes(damage)
    bench.preprocess(shards)
    assert state.read_bytes() == whole


def relabel(state):
    state["index"][3]["label"] = (state["index"][3]["label"] + 1) % 3


def exchange(state):
    first, second = state["index"][3], state["index"][4]
    first["sha256"], second["sha256"] = second["sha256"], first["sha256"]


def reorder(state):
    state["index"][3], state["index"][4] = state["index"][4], state["index"][3]


def move(state):
    row = next(row for row in state["index"] if row["split"] == "test")
    row["split"] = "train"


def drop(state):
    del state["index"][3]


def relabel_what_is_set_aside(state):
    state["quarantine"][0]["label"] = (state["quarantine"][0]["label"] + 1) % 3


def set_aside_something_else(state):
    state["quarantine"][0]["id"] = "no.jpg"


def miscount(state):
    next(file for file in state["files"].values() if file["examples"])["examples"] += 1


def garble(state):
    state["index"] = [7]


@pytest.mark.parametrize(
    "change",
    [
        relabel,
        exchange,
        reorder,
        move,
        drop,
        relabel_what_is_set_aside,
        set_aside_something_else,
        miscount,
        garble,
    ],
)
def test_a_shard_of_other_images_or_labels_than_the_manifest_is_written_again_whatever_its_digest(
    bench, photos, capfd, change
):
    source = photos(per_class=24)
    (source / "jade" / "empty.jpg").write_bytes(b"")
    shards = bench.ingest(source)
    examples = bench.preprocess(shards)
    [at] = [path for path in examples if QUARANTINE.read(Path(path))]
    share = SHARE.read(Path(at))
    [shard] = share["shards"]
    whole = content(share["records"])
    state = shard_files.read_state(share["records"], shard)
    change(state)
    shard_files.write_state(share["records"], shard, state)
    capfd.readouterr()
    bench.preprocess(shards)
    assert content(share["records"]) == whole
    told = [line for line in capfd.readouterr().err.splitlines() if "than the manifest" in line]
    assert told == [f"shard {shard}: the store has other images or labels than the manifest; it is written again"]


def content(directory):
    return {path.name: path.read_bytes() for path in Path(directory).iterdir()}
