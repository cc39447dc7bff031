"""Validation: one dataset that TFDS reads, or a report that says what is wrong with it."""

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from frostline import validate
from frostline.data import images, splits
from frostline.documents.data import INDEX, INFO, LABELS_FILE, MANIFEST, QUARANTINE, SHARE, SOURCE, VALIDATION
from frostline.errors import DataError

from tests.support.stages import Bench


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def info_of(bench):
    return INFO.read(Path(bench.path("info")))


def report_of(bench):
    return VALIDATION.read(Path(bench.path("info")))


def page_of(bench):
    return Path(bench.path("validation.html")).read_text()


def row(name, label, split="train"):
    return {"id": f"{name}.png", "sha256": hashlib.sha256(name.encode()).hexdigest(), "label": label, "split": split}


COMPLETE = [row("a", 0), row("b", 1), row("c", 0, "test"), row("d", 1, "test")]


def test_tfds_reads_what_was_written_sub_splits_included(bench, photos):
    import tensorflow_datasets as tfds

    bench.data(photos(per_class=24))
    info = info_of(bench)
    builder = tfds.builder_from_directory(info["records"])
    assert builder.info.features["label"].names == ["amber", "cobalt", "jade"]
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == info["splits"]
    rows = {one["sha256"]: one for one in MANIFEST.read(Path(bench.path("dataset")))}
    for split, count in info["splits"].items():
        examples = list(builder.as_dataset(split=split).as_numpy_iterator())
        assert len(examples) == count
        for example in examples:
            one = rows[example["id"].decode()]
            assert (one["split"], one["label"]) == (split, example["label"])
            original = images.from_bytes(tf.constant(Path(one["uri"]).read_bytes()), 32).numpy()
            np.testing.assert_array_equal(example["image"], original)  # what is stored is what serving computes
    assert len(list(builder.as_dataset(split="train[:3]"))) == 3


def test_the_info_describes_the_dataset_that_was_written(bench, photos):
    source = photos(per_class=24)
    bench.data(source)
    dataset, info = SOURCE.read(Path(bench.path("dataset"))), info_of(bench)
    assert (info["name"], info["source"], info["image_size"]) == ("photos", str(source), 32)
    assert info["manifest_digest"] == dataset["manifest_digest"]
    assert info["counts"] == dataset["counts"] == report_of(bench)["counts"]
    assert info["splits"] == {split: sum(by_label.values()) for split, by_label in info["counts"].items()}
    assert info["quarantined"] == []
    assert (Path(bench.path("info")) / LABELS_FILE).read_text() == "amber\ncobalt\njade\n"


def test_the_order_of_the_shards_changes_nothing(bench, photos):
    examples = bench.preprocess(bench.ingest(photos(per_class=24)))
    bench.validate(examples)
    first = info_of(bench)
    bench.validate(examples[::-1])
    assert info_of(bench) == first


def test_unreadable_images_are_counted_named_and_shown(bench, photos):
    source = photos(per_class=24)
    (source / "jade" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no photo")
    (source / "jade" / "empty.jpg").write_bytes(b"")
    bench.data(source)
    report = report_of(bench)
    assert (report["quarantined"], report["valid"]) == (2, True)
    [warning] = report["warnings"]
    assert warning.startswith("2 images cannot be read and are set aside: jade/")
    quarantine = {one["id"]: one["reason"] for one in QUARANTINE.read(Path(bench.path("info")))}
    assert set(quarantine) == {"jade/broken.jpg", "jade/empty.jpg"}
    assert info_of(bench)["quarantined"] == ["jade/broken.jpg", "jade/empty.jpg"]
    assert sum(info_of(bench)["splits"].values()) == 72
    for text in ("jade/broken.jpg", quarantine["jade/empty.jpg"], "Images set aside"):
        assert text in page_of(bench)


def test_what_ingest_left_out_is_a_warning(bench, photos, capfd):
    source = photos(per_class=24)
    for number in range(2):
        data = (source / "amber" / f"00{number}.jpg").read_bytes()
        (source / "jade" / f"same-{number}.jpg").write_bytes(data)
    (source / "metadata.csv").write_text("file_name,site\namber/009.jpg,north\nno.jpg,south\n<b>.jpg,west\n")
    examples = bench.preprocess(bench.ingest(source))
    capfd.readouterr()
    bench.validate(examples)
    names = "amber/000.jpg, amber/001.jpg, jade/same-0.jpg and 1 more"
    expected = [
        f"4 files left out, because their image has two labels: {names}",
        "2 rows of metadata.csv match no image; the first is '<b>.jpg'",
    ]
    report = report_of(bench)
    assert (report["warnings"], report["valid"]) == (expected, True)
    assert capfd.readouterr().err.splitlines()[-2:] == expected
    assert "&lt;b&gt;.jpg" in page_of(bench)
    assert "<b>.jpg" not in page_of(bench)


def test_a_class_with_no_readable_image_fails_in_one_line_and_leaves_no_info(bench, photos):
    source = photos(per_class=24)
    for path in (source / "jade").iterdir():
        path.write_bytes(b"no photo " + path.name.encode())
    with pytest.raises(DataError, match=r"^class 'jade': none of its images can be read$"):
        bench.data(source)
    assert not (Path(bench.path("info")) / INFO.file).exists()
    assert report_of(bench)["valid"] is False
    assert "class &#39;jade&#39;: none of its images can be read" in page_of(bench)
    assert "not valid" in page_of(bench)


def test_a_missing_shard_or_file_is_refused(bench, photos):
    shards = bench.ingest(photos(per_class=24))
    examples = bench.preprocess(shards)
    with pytest.raises(DataError, match="shards: received"):
        bench.validate(examples[:1])
    shard = SHARE.read(Path(examples[0]))
    name = next(name for name, entry in shard["files"].items() if entry["examples"])
    path = Path(shard["records"]) / name
    whole = path.read_bytes()
    for damage in (lambda: path.write_bytes(whole[:-1]), path.unlink):
        damage()
        with pytest.raises(DataError, match=f"^{name}: is missing from the store, or its size has changed"):
            bench.validate(examples)
    path.write_bytes(whole)
    bench.validate(examples)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("label", lambda row: (row["label"] + 1) % 3),
        ("split", lambda row: "test" if row["split"] == "train" else "train"),
        ("sha256", lambda row: row["sha256"][::-1]),
        ("id", lambda row: "jade/none.jpg"),
    ],
)
def test_an_image_or_a_label_that_the_manifest_has_not_is_refused(bench, photos, field, change):
    examples = bench.preprocess(bench.ingest(photos(per_class=24)))
    at = Path(examples[0])
    rows = list(INDEX.read(at))
    INDEX.write(at, [*rows[:5], {**rows[5], field: change(rows[5])}, *rows[6:]])
    with pytest.raises(DataError, match=r"images or labels are not those of the manifest: .*; run the pipeline again$"):
        bench.validate(examples)
    assert report_of(bench)["valid"] is False


def test_the_info_has_a_digest_of_the_images_and_labels_of_each_split(bench, photos):
    bench.data(photos(per_class=24))
    rows = MANIFEST.read(Path(bench.path("dataset")))
    for split, digest in info_of(bench)["split_digests"].items():
        assert digest == splits.digest((row["sha256"], row["label"]) for row in rows if row["split"] == split)
    assert list(info_of(bench)["split_digests"]) == list(splits.SPLITS)


def test_a_shard_that_is_given_twice_is_refused(bench, photos):
    examples = bench.preprocess(bench.ingest(photos(per_class=24)))
    with pytest.raises(DataError, match="shards: received"):
        bench.validate([*examples, examples[0]])


def test_readable_images_in_both_splits_are_enough():
    found = validate.check(COMPLETE, [], ["x", "y"])
    assert found == {
        "counts": {"train": {"x": 1, "y": 1}, "validation": {"x": 0, "y": 0}, "test": {"x": 1, "y": 1}},
        "quarantined": 0,
        "duplicates": 0,
        "problems": [],
        "warnings": [],
    }


def test_the_order_of_the_rows_does_not_matter():
    rows = [*COMPLETE, row("a", 0), row("e", 1, "validation")]
    shuffled = random.Random(1).sample(rows, len(rows))
    assert validate.check(shuffled, [], ["x", "y"]) == validate.check(rows, [], ["x", "y"])


def test_duplicates_are_counted():
    found = validate.check([*COMPLETE, row("a", 0), row("a", 0)], [], ["x", "y"])
    assert (found["duplicates"], found["problems"]) == (2, [])
    assert found["warnings"] == ["2 images are copies of others; copies are always in the same split"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_that_lost_a_split_to_quarantine_is_a_problem(split):
    lost = next(one for one in COMPLETE if (one["label"], one["split"]) == (1, split))
    kept = [one for one in COMPLETE if one is not lost]
    found = validate.check(kept, [{**lost, "reason": "Input is empty."}], ["x", "y"])
    assert found["problems"] == [f"class 'y': has no readable images in the {split} split"]
    assert found["quarantined"] == 1


def test_a_class_without_any_image_is_one_problem_and_not_two():
    rows = [one for one in COMPLETE if one["label"] == 0]
    assert validate.check(rows, [], ["x", "y"])["problems"] == ["class 'y': none of its images can be read"]
