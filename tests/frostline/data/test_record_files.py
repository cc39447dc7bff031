"""The files of records: an address depends on the content alone, and TFDS reads what is written."""

import hashlib

import numpy as np
import pytest

from frostline.data import record_files, records
from frostline.data.splits import SPLITS

SHARD = "00000-of-00001"
PIXELS = np.random.default_rng(3).integers(0, 256, (6, 6, 3), np.uint8)
SOURCE = {
    "source": "/photos",
    "name": "toy",
    "labels": ["cat", "dog"],
    "shards": 2,
    "counts": {},
    "manifest_digest": "",
    "conflicts": [],
    "unmatched": {"count": 0, "first": None},
}


def row(number, **changes):
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    found = {"id": f"{number}.png", "uri": f"/photos/{number}.png", "offset": 0, "size": 9, "sha256": sha256}
    return {**found, "label": number % 2, "split": "train", **changes}


ROWS = [row(number) for number in range(4)]


def test_the_address_is_pinned():
    """Stores hold records under it: with another address every dataset would be written again."""
    assert record_files.address(ROWS, SOURCE, 32) == "62540452aa2c764247dbfe0f411b47e70fd075a4deb4ee334f47b865d17deffb"


@pytest.mark.parametrize(
    ("rows", "source", "size"),
    [
        (ROWS, {**SOURCE, "name": "other"}, 32),
        (ROWS, {**SOURCE, "labels": ["dog", "cat"]}, 32),
        (ROWS, {**SOURCE, "shards": 3}, 32),
        (ROWS, SOURCE, 33),
        (ROWS[::-1], SOURCE, 32),
        (ROWS[:3], SOURCE, 32),
        *(
            ([*ROWS[:3], row(3, **change)], SOURCE, 32)
            for change in ({"id": "x"}, {"sha256": "0" * 64}, {"label": 0}, {"split": "test"})
        ),
    ],
)
def test_another_content_has_another_address(rows, source, size):
    assert record_files.address(rows, source, size) != record_files.address(ROWS, SOURCE, 32)


def test_the_address_does_not_depend_on_the_location_or_on_metadata():
    moved = [{**one, "uri": "gs://bucket/x", "offset": 7, "metadata": {"site": "north"}} for one in ROWS]
    elsewhere = {**SOURCE, "source": "gs://bucket", "counts": {"train": {}}, "conflicts": ["x"]}
    assert record_files.address(moved, elsewhere, 32) == record_files.address(ROWS, SOURCE, 32)


def test_tfds_reads_a_described_directory(tmp_path):
    import tensorflow_datasets as tfds

    with records.writers(tmp_path, "toy", SHARD) as writers:
        writers["train"].write(records.serialize(PIXELS, 1, "f" * 64))
    files = {}
    for split in SPLITS:
        size = (tmp_path / record_files.file_name("toy", split, SHARD)).stat().st_size
        files[split] = [{"split": split, "examples": int(split == "train"), "bytes": size}]
    for name, data in record_files.metadata("toy", ["cat", "dog"], 6, files).items():
        (tmp_path / name).write_bytes(data)
    builder = tfds.builder_from_directory(str(tmp_path))
    assert builder.info.features["label"].names == ["cat", "dog"]
    assert builder.info.features["image"].shape == (6, 6, 3)
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 1,
        "validation": 0,
        "test": 0,
    }
    [example] = builder.as_dataset(split="train").as_numpy_iterator()
    np.testing.assert_array_equal(example["image"], PIXELS)
    assert (example["label"], example["id"]) == (1, b"f" * 64)


@pytest.mark.parametrize(
    ("dataset", "labels", "size", "examples"),
    [
        ("flowers", ["daisy", "rose"], 299, {"train": [3, 2], "validation": [0, 0], "test": [1, 0]}),
        ("toy", ["Ä 'quoted' \"label\"", "x" * 200, "日本"], 16, {"train": [7], "validation": [1], "test": [2]}),
    ],
)
def test_the_metadata_is_what_tfds_writes(tmp_path, dataset, labels, size, examples):
    import tensorflow_datasets as tfds

    files, infos = {}, []
    for split, lengths in examples.items():
        files[split] = [{"split": split, "examples": length, "bytes": 100 * length} for length in lengths]
        infos.append(tfds.core.SplitInfo(name=split, shard_lengths=lengths, num_bytes=100 * sum(lengths)))
        for number in range(len(lengths)):
            shard = f"{number:05}-of-{len(lengths):05}"
            (tmp_path / record_files.file_name(dataset, split, shard)).touch()
    features = {
        "image": tfds.features.Tensor(shape=(size, size, 3), dtype=np.uint8, encoding="bytes"),
        "label": tfds.features.ClassLabel(names=labels),
        "id": tfds.features.Text(),
    }
    tfds.folder_dataset.write_metadata(
        data_dir=str(tmp_path),
        features=tfds.features.FeaturesDict(features),
        split_infos=infos,
        filename_template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        description=f"{dataset}, preprocessed by Frostline",
        check_data=False,
    )
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir() if "tfrecord" not in path.name}
    assert record_files.metadata(dataset, labels, size, files) == written
