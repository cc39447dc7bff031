"""Examples by position: the records that preprocessing wrote, or one line that names the damaged file."""

import json
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from frostline.data import examples, records, splits
from frostline.errors import DataError

from tests.support import buckets, pictures, recorded
from tests.support.stages import Bench

SIZE, COUNT = 4, 23
FIRST = "toy-train.tfrecord-00000-of-00002"
SECOND = "toy-train.tfrecord-00001-of-00002"


@pytest.fixture
def directory(tmp_path):
    return recorded.write(tmp_path / "records", recorded.noise(COUNT, SIZE))


@pytest.fixture
def load(tmp_path):
    opened = []

    def load(directory, split="train", shards=None):
        opened.append(examples.load(str(directory), split, tmp_path / "scratch", shards))
        return opened[-1]

    (tmp_path / "scratch").mkdir()
    yield load
    for found in opened:
        found.close()


@pytest.fixture
def open_files(monkeypatch):
    """{descriptor: name} of the record files that are open."""
    names, real_open, real_close = {}, os.open, os.close

    def opened(path, *arguments, **options):
        descriptor = real_open(path, *arguments, **options)
        if ".tfrecord-" in str(path):
            names[descriptor] = Path(path).name
        return descriptor

    def closed(descriptor):
        real_close(descriptor)
        names.pop(descriptor, None)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "close", closed)
    return names


def expected(number):
    return records.serialize(recorded.noise(COUNT, SIZE)[number], number, recorded.identifier(number))


ORDER = [*range(0, COUNT, 2), *range(1, COUNT, 2)]  # shard after shard


def test_a_position_gives_the_record_label_and_id_that_were_written_there(directory, load):
    found = load(directory)
    assert len(found) == COUNT
    assert found.labels.tolist() == ORDER
    assert found.ids == tuple(recorded.identifier(number) for number in ORDER)
    positions = np.array([22, 0, 12, 11, 0])
    assert found.read(positions) == [expected(ORDER[position]) for position in positions]


def test_what_preprocessing_wrote_is_read_as_tensorflow_reads_it(tmp_path, load):
    bench = Bench(tmp_path)
    [first, _] = bench.preprocess(bench.ingest(pictures.make(tmp_path / "photos", 30)), size=16)
    where = json.loads((tmp_path / first / "share.json").read_text())["records"]
    for split in ("train", "validation", "test"):
        found = load(where, split)
        files = sorted((tmp_path / where).glob(f"*-{split}.tfrecord-*"))
        written = [record.numpy() for record in tf.data.TFRecordDataset([str(path) for path in files])]
        assert len(written) == len(found) > 0
        assert found.read(np.arange(len(found))) == written


def test_one_shard_or_one_split_can_be_loaded_alone(tmp_path, load):
    directory = recorded.write(tmp_path / "records", recorded.noise(COUNT, SIZE), ("train", "train", "validation"))
    assert load(directory, shards=["00001-of-00002"]).labels.tolist() == [1, 3, 7, 9, 13, 15, 19, 21]
    validation = load(directory, "validation")
    assert validation.labels.tolist() == [2, 8, 14, 20, 5, 11, 17]
    assert validation.read(np.array([4])) == [expected(5)]
    assert len(load(directory, "test")) == 0


def test_a_key_is_the_first_64_bits_of_the_id_whatever_the_position(directory, load):
    found = load(directory)
    keys = found.keys(np.array([3, 12]))
    assert keys.dtype == np.int64
    assert [f"{key % 2**64:016x}" for key in keys.tolist()] == [found.ids[3][:16], found.ids[12][:16]]
    assert load(directory, shards=["00001-of-00002"]).keys(np.array([0])).tolist() == keys[1:].tolist()
    assert len(found.keys(np.array([], np.int64))) == 0


def refused(found, match):
    with pytest.raises(DataError, match=match) as caught:
        found.read(np.arange(len(found)))
    assert "\n" not in str(caught.value)


def test_a_missing_record_file_is_named(directory, load):
    (directory / SECOND).unlink()
    refused(load(directory), f"{re.escape(SECOND)}: is missing")


def test_a_missing_or_foreign_state_file_is_named(directory, load):
    with pytest.raises(DataError, match=r"shard-00005-of-00009\.json: is missing"):
        load(directory, shards=["00005-of-00009"])
    state = directory / "shard-00000-of-00002.json"
    state.write_text(state.read_text().replace("shard_state/v1", "shard_state/v9"))
    with pytest.raises(DataError, match="shard_state/v9'; expected 'frostline/shard_state/v1"):
        load(directory)
    state.write_text(state.read_text()[:50])
    with pytest.raises(DataError, match=r"shard-00000-of-00002\.json: is not JSON"):
        load(directory)


def test_a_file_with_more_or_fewer_records_than_were_written_is_refused(directory, load):
    whole = (directory / FIRST).read_bytes()
    (directory / FIRST).write_bytes(whole * 2)
    refused(load(directory), "contains 24 examples; preprocessing wrote 12")
    (directory / FIRST).write_bytes(b"")
    refused(load(directory), "contains 0 examples; preprocessing wrote 12")


def test_a_file_that_ends_early_is_refused(directory, load):
    whole = (directory / FIRST).read_bytes()
    for length in (len(whole) - 1, len(whole) - len(expected(22)) - 3, 5):
        (directory / FIRST).write_bytes(whole[:length])
        refused(load(directory), r"00000-of-00002: is damaged at byte \d+; remove the directory")


def test_records_of_another_shard_are_refused(tmp_path, load):
    directory = recorded.write(tmp_path / "records", recorded.noise(22, SIZE))  # two files of 11 each
    first, second = (directory / FIRST).read_bytes(), (directory / SECOND).read_bytes()
    (directory / FIRST).write_bytes(second)
    (directory / SECOND).write_bytes(first)
    refused(load(directory), f"the record of example {recorded.identifier(0)} is of another image")


def rewrite(directory, change):
    """Write the first file anew, with other records, and all checksums made anew."""
    path = directory / FIRST
    found = [record.numpy() for record in tf.data.TFRecordDataset([str(path)])]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in change(found):
            writer.write(record)


def with_label(label):
    return records.serialize(recorded.noise(COUNT, SIZE)[6], label, recorded.identifier(6))


@pytest.mark.parametrize(
    ("change", "refused_at"),
    [
        (lambda found: [*found[:3], with_label(5), *found[4:]], 3),
        (lambda found: [*found[:3], with_label(300), *found[4:]], 3),
        (lambda found: [*found[:3], found[4], found[3], *found[5:]], 3),
        (lambda found: found[::-1], 0),
        (lambda found: [*found[:3], found[2], *found[4:]], 3),
        (lambda found: [*found[:3], found[3] + b"\n", *found[4:]], 3),
    ],
    ids=["relabeled", "relabeled-wide", "exchanged", "reordered", "doubled", "longer"],
)
def test_a_record_of_another_image_or_with_another_label_is_refused_whatever_its_checksum(
    directory, load, change, refused_at
):
    rewrite(directory, lambda found: found)
    assert len(load(directory).read(np.arange(COUNT))) == COUNT
    rewrite(directory, change)
    identifier = recorded.identifier(ORDER[refused_at])
    refused(
        load(directory),
        f"^{directory}: the record of example {identifier} is of another image, or has another label; remove the "
        "directory and run the pipeline again$",
    )


def test_the_digest_is_of_the_images_and_their_labels_in_any_order(directory, load):
    found = load(directory)
    assert found.digest == splits.digest((recorded.identifier(number), number) for number in range(COUNT))
    assert found.digest != splits.digest((recorded.identifier(number), 0) for number in range(COUNT))
    assert found.digest != load(directory, shards=["00001-of-00002"]).digest


def test_every_flipped_bit_of_a_record_file_is_detected(directory, load):
    whole = (directory / FIRST).read_bytes()
    record = 16 + len(expected(0))
    for byte in [*range(12), 12, 60, record - 5, record - 4, record - 1, record, len(whole) - 1]:
        data = bytearray(whole)
        data[byte] ^= 0x10
        (directory / FIRST).write_bytes(data)
        refused(load(directory), "damaged")


def test_records_next_to_a_damaged_one_can_be_read(directory, load):
    data = bytearray((directory / FIRST).read_bytes())
    data[60] ^= 1
    (directory / FIRST).write_bytes(data)
    found = load(directory)
    assert found.read(np.array([1])) == [expected(2)]
    with pytest.raises(DataError, match=f"the record of example {recorded.identifier(0)} is damaged"):
        found.read(np.array([0]))


def test_records_in_a_bucket_are_read_like_those_on_a_disk(directory, load, gcs):
    buckets.upload(directory, f"{gcs}/records")
    found = load(f"{gcs}/records")
    assert found.labels.tolist() == ORDER
    assert found.read(np.arange(COUNT)) == [expected(number) for number in ORDER]


def test_several_threads_can_read_at_once(directory, load, open_files):
    found, wrong = load(directory), []
    start = threading.Barrier(8)

    def reader(seed):
        start.wait()
        for position in np.random.default_rng(seed).integers(0, COUNT, 100):
            if found.read(np.array([position])) != [expected(ORDER[position])]:
                wrong.append(position)

    threads = [threading.Thread(target=reader, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sorted(open_files.values()) == [FIRST, SECOND]  # each file was opened once


def test_closed_examples_open_their_files_again_when_read(directory, load, open_files):
    found = load(directory)
    assert open_files == {}
    before = found.read(np.array([7]))
    assert len(open_files) == 2
    found.close()
    assert open_files == {}
    assert found.read(np.array([7])) == before
