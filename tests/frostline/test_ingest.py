"""The manifest: true to the bytes, the same for the same content, and refused if it cannot be trained on."""

import io
import json
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from PIL import Image as Pillow

from frostline import digests, storage
from frostline.data import splits

from tests.support.ingesting import HALF, photo, put, runner, three_classes


@pytest.fixture
def photos(tmp_path):
    return three_classes(tmp_path / "photos")


@pytest.fixture
def ingested(tmp_path):
    return runner(tmp_path)


def test_every_row_finds_its_original_bytes(photos, ingested):
    names, rows, source = ingested(photos, shards=3)
    assert names == ["00000-of-00003", "00001-of-00003", "00002-of-00003"]
    assert len(rows) == 90
    assert {row["id"] for row in rows} == {path.relative_to(photos).as_posix() for path in photos.rglob("*.png")}
    for row in rows:
        assert list(row) == ["id", "uri", "offset", "size", "sha256", "label", "split"]
        data = storage.read_bytes(row["uri"], offset=row["offset"], length=row["size"])
        assert data == (photos / row["id"]).read_bytes()
        assert row["sha256"] == digests.of_bytes(data)
        assert source["labels"][row["label"]] == row["id"].split("/")[0]
        assert row["split"] == splits.split_of(row["sha256"], **HALF)
    assert (source["name"], source["source"], source["shards"]) == ("photos", str(photos), 3)


def test_source_json_counts_and_digests_the_manifest(photos, ingested, tmp_path):
    _, rows, source = ingested(photos)
    found = Counter((row["split"], source["labels"][row["label"]]) for row in rows)
    assert {(split, label): n for split, of in source["counts"].items() for label, n in of.items()} == dict(found)
    assert source["manifest_digest"] == digests.of_file(tmp_path / "dataset-0" / "manifest.jsonl")


def test_digits_are_stored_in_one_blob_named_by_its_digest(ingested, tmp_path):
    _, rows, source = ingested("digits")
    (blob,) = storage.list_files(str(tmp_path / "store"))
    content = storage.read_bytes(blob.uri)
    assert blob.uri == f"{tmp_path}/store/sources/{digests.of_bytes(content)}.bin"
    assert len(rows) == 1797
    assert source["labels"] == list("0123456789")
    for row in rows[::100]:
        data = storage.read_bytes(row["uri"], offset=row["offset"], length=row["size"])
        assert digests.of_bytes(data) == row["sha256"]
        with Pillow.open(io.BytesIO(data)) as picture:
            assert picture.size == (8, 8)
    again = ingested("digits", {**HALF, "classes": ["3", "7"]})[1]
    assert storage.list_files(str(tmp_path / "store")) == [blob]  # written once, whichever classes are used
    assert {row["uri"] for row in again} == {blob.uri}


def test_the_manifest_is_a_function_of_the_content(photos, ingested, tmp_path):
    first = ingested(photos)
    files = {path.relative_to(photos): path.read_bytes() for path in photos.rglob("*.png")}
    shutil.rmtree(photos)
    for path, data in sorted(files.items(), reverse=True):  # the same files, made in another order
        (photos / path).parent.mkdir(parents=True, exist_ok=True)
        (photos / path).write_bytes(data)
    assert ingested(photos) == first
    keys = [(row["split"], row["sha256"], row["id"]) for row in first[1]]
    assert keys == sorted(keys)


def test_an_image_keeps_its_split_as_the_dataset_grows_and_is_renamed(photos, ingested):
    before = {row["sha256"]: row["split"] for row in ingested(photos)[1]}
    put(photos, cats=range(1000, 1040), dogs=range(2000, 2001))
    (photos / "cats").rename(photos / "felines")
    after = {row["sha256"]: row["split"] for row in ingested(photos)[1]}
    assert after.keys() > before.keys()
    assert all(after[sha256] == split for sha256, split in before.items())


def test_copies_are_kept_in_the_same_split(photos, ingested):
    shutil.copytree(photos / "owls", photos / "owls" / "copies")
    _, rows, _ = ingested(photos)
    assert len(rows) == 90 + 30
    of_content = {}
    for row in rows:
        of_content.setdefault(row["sha256"], []).append(row)
    assert Counter(len(copies) for copies in of_content.values()) == {1: 60, 2: 30}
    assert all(len({row["split"] for row in copies}) == 1 for copies in of_content.values())


def test_classes_are_kept_in_the_given_order(photos, ingested):
    _, rows, source = ingested(photos, {**HALF, "classes": ["owls", "cats"]})
    assert source["labels"] == ["owls", "cats"]
    assert {(row["label"], row["id"].split("/")[0]) for row in rows} == {(0, "owls"), (1, "cats")}


def test_a_limit_keeps_the_first_training_images_of_each_class_by_digest(photos, ingested):
    everything = ingested(photos)[1]
    few = ingested(photos, {**HALF, "train_examples_per_class": 4.0})[1]  # KFP hands integers over as floats
    for label in range(3):
        train = [row for row in everything if row["split"] == "train" and row["label"] == label]
        expected = sorted(train, key=lambda row: row["sha256"])[:4]
        assert [row for row in few if row["split"] == "train" and row["label"] == label] == expected
    assert [row for row in few if row["split"] != "train"] == [row for row in everything if row["split"] != "train"]


def test_a_bucket_serves_as_source_and_store(gcs, ingested):
    for number in range(60):
        storage.write_bytes(f"{gcs}/photos/{'ab'[number % 2]}/{number}.png", photo(number))
    _, rows, _ = ingested(f"{gcs}/photos")
    assert len(rows) == 60
    assert all(digests.of_bytes(storage.read_bytes(row["uri"])) == row["sha256"] for row in rows)
    _, rows, _ = ingested("digits", store=f"{gcs}/store")
    row = rows[500]
    assert digests.of_bytes(storage.read_bytes(row["uri"], offset=row["offset"], length=row["size"])) == row["sha256"]


def test_the_validation_split_can_be_empty_if_configured(photos, ingested):
    _, rows, source = ingested(photos, {"validation_fraction": 0.0, "test_fraction": 0.3})
    assert "validation" not in {row["split"] for row in rows}
    assert sum(source["counts"]["validation"].values()) == 0


def test_classes_without_an_image_do_not_matter_when_not_chosen(photos, ingested):
    (photos / "empty").mkdir()
    assert ingested(photos, {**HALF, "classes": ["cats", "dogs"]})[2]["labels"] == ["cats", "dogs"]


def test_left_out_files_are_reported(photos, ingested, capfd):
    (photos / "cats" / "notes.txt").write_text("x")
    ingested(photos)
    output = capfd.readouterr().err
    assert "3 classes; images:" in output
    assert "files left out: 1 .txt (not images)" in output


def test_ingest_and_gate_do_not_import_tensorflow(photos, tmp_path):
    code = f"""
import sys
from frostline import gate, ingest
from frostline.evaluation import compare, metrics
half, store = {json.dumps(HALF)}, {str(tmp_path / "s")!r}
ingest.run(source={str(photos)!r}, data=half, shards=2, workers=2, store=store, dataset={str(tmp_path / "d1")!r})
ingest.run(source="digits", data=half, shards=2, workers=2, store=store, dataset={str(tmp_path / "d2")!r})
heavy = {{"tensorflow", "keras", "tensorflow_datasets", "kfp"}} & set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_same_image_under_two_labels_is_left_out_counted_and_named(photos, ingested, capsys):
    put(photos, dogs=[3], owls=[3, 4])  # photo 3 is a cat, a dog and an owl; photo 4 a cat and an owl
    _, rows, source = ingested(photos)
    assert source["conflicts"] == ["cats/3.png", "cats/4.png", "dogs/3.png", "owls/3.png", "owls/4.png"]
    assert not {row["id"] for row in rows} & set(source["conflicts"])
    assert len(rows) == 88
    assert (
        "5 files left out, because their image has two labels: cats/3.png, cats/4.png, dogs/3.png and 2 more"
        in capsys.readouterr().err
    )


def describe(root, **site):
    lines = [f"{path},{value}" for path, value in site.items()]
    (root / "metadata.csv").write_text("\n".join(["file_name,site", *lines]) + "\n")


def test_rows_carry_their_metadata_file_by_file_and_copies_may_differ(photos, ingested):
    shutil.copy(photos / "cats/1.png", photos / "cats/copy.png")
    describe(photos, **{"cats/1.png": " north ", "cats/copy.png": "<b>=1+1</b>"})
    rows = {row["id"]: row for row in ingested(photos)[1]}
    assert rows["cats/1.png"]["metadata"] == {"site": "north"}
    assert rows["cats/copy.png"]["metadata"] == {"site": "<b>=1+1</b>"}
    assert rows["cats/1.png"]["sha256"] == rows["cats/copy.png"]["sha256"]
    assert "metadata" not in rows["cats/2.png"]


def test_metadata_moves_no_record_and_no_split(photos, ingested, tmp_path):
    from frostline.data import record_files

    _, plain, source = ingested(photos)
    describe(photos, **{f"cats/{n}.png": "north" for n in range(30)})
    _, rows, described = ingested(photos)
    assert [{key: row[key] for key in row if key != "metadata"} for row in rows] == plain
    assert record_files.address(rows, described, 32) == record_files.address(plain, source, 32)
    assert described["manifest_digest"] != source["manifest_digest"]
    describe(photos, **{f"cats/{n}.png": "north" for n in reversed(range(30))})
    assert ingested(photos)[1:] == (rows, described)  # whatever order its lines are in


def test_names_in_the_metadata_that_match_no_image_are_reported_once(photos, ingested, capfd):
    describe(photos, **{"cats/1.png": "north", "cats/none.png": "x", "birds/1.png": "y"})
    ingested(photos)
    output = capfd.readouterr().err
    assert f"{photos}: metadata.csv: 2 rows match no image; the first is 'birds/1.png'" in output
    assert "files left out" not in output


def test_a_blob_that_was_damaged_in_the_store_is_written_again(ingested, tmp_path, capsys):
    _, rows, _ = ingested("digits")
    (blob,) = (tmp_path / "store" / "sources").iterdir()
    good = blob.read_bytes()
    for damaged in (bytes([good[0] ^ 1]) + good[1:], good[:-1], good + b"x", b""):
        blob.unlink()
        blob.write_bytes(damaged)
        capsys.readouterr()
        assert ingested("digits")[1] == rows
        assert blob.read_bytes() == good
        assert f"{blob}: was damaged in the store; it is written again" in capsys.readouterr().err
    before = blob.stat()
    assert ingested("digits")[1] == rows
    assert (blob.stat().st_ino, blob.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert "damaged" not in capsys.readouterr().err
