"""Preprocessing and validation: TFDS-readable records, quarantine, reuse, and refusals, on real files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from frostline import artifacts, preprocess, validate
from frostline.data import images
from frostline.errors import ConfigError, DataError, StorageError

from tests.support.stages import Bench


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def records_of(bench):
    return Path(artifacts.read_json(Path(bench.path("info")) / "info.json", "info")["records"])


def test_tfds_reads_what_was_written_sub_splits_included(bench, photos):
    import tensorflow_datasets as tfds

    bench.data(photos(per_class=24))
    builder = tfds.builder_from_directory(str(records_of(bench)))
    info = artifacts.read_json(Path(bench.path("info")) / "info.json", "info")
    assert builder.info.features["label"].names == ["amber", "cobalt", "jade"]
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == info["splits"]
    rows = {row["sha256"]: row for row in artifacts.read_jsonl(Path(bench.path("dataset")) / "manifest.jsonl")}
    for split, count in info["splits"].items():
        examples = list(builder.as_dataset(split=split).as_numpy_iterator())
        assert len(examples) == count
        for example in examples:
            row = rows[example["id"].decode()]
            assert (row["split"], row["label"]) == (split, example["label"])
            original = images.from_bytes(tf.constant(Path(row["uri"]).read_bytes()), 32).numpy()
            np.testing.assert_array_equal(example["image"], original)  # what is stored is what serving computes
    assert len(list(builder.as_dataset(split="train[:3]"))) == 3


def test_an_unreadable_file_is_set_aside_counted_and_reported(bench, photos):
    source = photos(per_class=24)
    (source / "jade" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no photo")
    (source / "jade" / "empty.jpg").write_bytes(b"")
    bench.data(source)
    report = artifacts.read_json(Path(bench.path("info")) / "report.json", "validation")
    assert report["quarantined"] == 2
    assert report["valid"]
    quarantine = {r["id"]: r["reason"] for r in artifacts.read_jsonl(Path(bench.path("info")) / "quarantine.jsonl")}
    assert set(quarantine) == {"jade/broken.jpg", "jade/empty.jpg"}
    assert quarantine["jade/empty.jpg"] == "Input is empty."
    assert not any(mark in reason for reason in quarantine.values() for mark in ("\n", "{{", "[Op", "job:"))
    info = artifacts.read_json(Path(bench.path("info")) / "info.json", "info")
    assert info["quarantined"] == ["jade/broken.jpg", "jade/empty.jpg"]
    assert sum(info["splits"].values()) == 72
    assert "jade/broken.jpg" in Path(bench.path("validation.html")).read_text()


def test_a_class_with_no_readable_image_fails_in_one_line_and_leaves_no_info(bench, photos):
    source = photos(per_class=24)
    for path in (source / "jade").iterdir():
        path.write_bytes(b"no photo " + path.name.encode())
    with pytest.raises(DataError, match=r"^class 'jade': none of its images can be read$"):
        bench.data(source)
    assert not (Path(bench.path("info")) / "info.json").exists()
    assert artifacts.read_json(Path(bench.path("info")) / "report.json", "validation")["valid"] is False


def test_a_repeated_run_finds_finished_shards_and_a_damaged_one_is_made_again(bench, photos, monkeypatch):
    shards = bench.ingest(photos(per_class=24))
    bench.validate(bench.preprocess(shards))
    records = records_of(bench)
    before = {path.name: path.read_bytes() for path in records.iterdir()}
    decoded = []
    original = images.from_bytes
    monkeypatch.setattr(preprocess.images, "from_bytes", lambda *a: decoded.append(1) or original(*a))
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
    three = ingest.run(source=str(source), data={}, shards=3, store=bench.store, dataset=bench.path("dataset"))
    bench.validate(bench.preprocess(three))
    assert records_of(bench) != two


def test_an_image_that_changed_after_ingest_fails_the_shard(bench, photos):
    source = photos(per_class=24)
    shards = bench.ingest(source)
    victim = source / "amber" / "000.jpg"
    victim.write_bytes(victim.read_bytes()[::-1])
    with pytest.raises(DataError, match=r"amber/000\.jpg: changed since it was ingested"):
        bench.preprocess(shards)
    assert len(list(Path(bench.store).rglob("shard-*.json"))) < len(shards)  # the failed shard is not taken for whole


def test_a_missing_shard_or_file_is_refused(bench, photos):
    shards = bench.ingest(photos(per_class=24))
    examples = bench.preprocess(shards)
    with pytest.raises(DataError, match="shards: received"):
        bench.validate(examples[:1])
    shard = json.loads((Path(examples[0]) / "shard.json").read_text())
    name = next(name for name, entry in shard["files"].items() if entry["examples"])
    (Path(shard["records"]) / name).unlink()
    with pytest.raises(DataError, match="is missing from the store"):
        bench.validate(examples)


def test_a_malformed_shard_name_is_refused(bench, photos):
    bench.ingest(photos(per_class=24))
    for shard in ("1", "00002-of-00002", "a-of-b", "-1-of-2"):
        with pytest.raises(ConfigError, match="expected SSSSS-of-NNNNN"):
            bench.preprocess([shard])


def test_a_store_that_cannot_be_written_is_told_in_one_line(bench, photos, tmp_path):
    shards = bench.ingest(photos(per_class=24))
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    bench.store = str(blocker / "store")
    with pytest.raises(StorageError) as caught:
        bench.preprocess(shards)
    assert str(blocker) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_duplicates_are_counted():
    def row(sha256, label, split="train"):
        return {"id": f"{sha256}-{label}", "sha256": sha256, "label": label, "split": split}

    base = [row("a", 0), row("b", 1), row("c", 0, "test"), row("d", 1, "test")]
    fine = validate.check([*base, row("a", 0)], [], ["x", "y"])
    assert (fine["duplicates"], fine["problems"]) == (1, [])


def test_a_class_that_lost_its_test_images_to_quarantine_is_a_problem():
    rows = [{"id": str(i), "sha256": str(i), "label": i % 2, "split": "train"} for i in range(4)]
    rows.append({"id": "t", "sha256": "t", "label": 0, "split": "test"})
    assert validate.check(rows, [], ["x", "y"])["problems"] == [
        "class 'y': no readable image is left in the test split"
    ]


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
def test_a_damaged_shard_state_is_made_again(bench, photos, damage):
    shards = bench.ingest(photos(per_class=24))
    bench.preprocess(shards)
    state = sorted(Path(bench.store).rglob("shard-*.json"))[0]
    whole = state.read_bytes()
    state.write_bytes(damage)
    bench.preprocess(shards)
    assert state.read_bytes() == whole
