"""Splits that folders give, and splits of small classes."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from frostline import ingest
from frostline.data import splits
from frostline.documents.data import MANIFEST, SOURCE
from frostline.errors import DataError

SHARES = {"validation_fraction": 0.1, "test_fraction": 0.2}


def photo(number):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def put(root, images):
    for path, number in images.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(photo(number))
    return root


@pytest.fixture
def ingested(tmp_path):
    runs = iter(range(100))

    def run(source, **data):
        out = tmp_path / f"dataset-{next(runs)}"
        options = {"data": {**SHARES, **data}, "shards": 1, "workers": 1, "store": str(tmp_path)}
        ingest.run(source=str(source), **options, dataset=str(out))
        return MANIFEST.read(out), SOURCE.read(out)

    return run


def given(*names, per_class=10):
    keys = [f"{split}/{label}/{n}.png" for split in names for label in ("cat", "dog") for n in range(per_class)]
    return {key: number for number, key in enumerate(keys)}


def test_given_splits_reach_the_manifest(tmp_path, ingested):
    rows, source = ingested(put(tmp_path / "photos", given("train", "val", "test")))
    folders = {"train": "train", "validation": "val", "test": "test"}
    assert all(row["id"].startswith(f"{folders[row['split']]}/") for row in rows)
    assert source["labels"] == ["cat", "dog"]
    assert source["counts"] == {split: {"cat": 10, "dog": 10} for split in splits.SPLITS}


@pytest.mark.parametrize(("names", "missing"), [(("train", "val"), "test"), (("train", "test"), "validation")])
def test_a_split_that_is_not_given_is_drawn_from_train(tmp_path, ingested, names, missing):
    rows, _ = ingested(put(tmp_path / "photos", given(*names, per_class=40)))
    assert {row["id"].split("/")[0] for row in rows if row["split"] == missing} == {"train"}
    assert {row["split"] for row in rows if not row["id"].startswith("train/")} == {*splits.SPLITS} - {"train", missing}


def test_train_alone_can_be_split_by_choice(tmp_path, ingested):
    rows, source = ingested(put(tmp_path / "photos", given("train", per_class=40)), layout="splits")
    assert source["labels"] == ["cat", "dog"]
    assert {row["split"] for row in rows} == {*splits.SPLITS}


def test_copies_across_given_splits_stay_in_test_and_are_named(tmp_path, ingested, capfd):
    images = given("train", "val", "test")
    images |= {"train/cat/leak.png": images["test/cat/0.png"], "val/cat/leak.png": images["test/cat/0.png"]}
    images["train/dog/leak.png"] = images["val/dog/0.png"]
    rows, source = ingested(put(tmp_path / "photos", images))
    assert source["across"] == ["train/cat/leak.png", "train/dog/leak.png", "val/cat/leak.png"]
    assert len({row["sha256"] for row in rows}) == len(rows) == 60
    assert (
        "3 files left out, because their image is also in another split: train/cat/leak.png" in capfd.readouterr().err
    )


def test_a_hundred_classes_of_six_images_have_each_in_every_split(tmp_path, ingested, capfd):
    images = {f"c{label:02d}/{n}.png": 6 * label + n for label in range(100) for n in range(6)}
    _, source = ingested(put(tmp_path / "photos", images))
    assert all(min(source["counts"][split].values()) >= 1 for split in splits.SPLITS)
    assert "images of small classes are in another split than usual" in capfd.readouterr().err


def test_all_classes_that_are_too_small_are_in_one_message(tmp_path, ingested):
    images = {f"c{label:02d}/{n}.png": 6 * label + n for label in range(20) for n in range(6)}
    with pytest.raises(DataError) as caught:
        ingested(put(tmp_path / "photos", {**images, "one/1.png": 9000, "solo/1.png": 9001}))
    message = str(caught.value)
    assert "'one' (" in message
    assert "'solo' (" in message
    assert "a class needs at least two different images, one for each: add images, or name the other classes" in message
    assert "\n" not in message


def test_only_images_of_classes_without_a_split_are_moved():
    big = [f"{number:064x}" for number in range(500)]
    found, moved = splits.assign([big], **SHARES)
    assert moved == 0
    assert found == {sha256: splits.split_of(sha256, **SHARES) for sha256 in big}
    for size in range(2, 30):
        own = [f"{number:064x}" for number in range(1000, 1000 + size)]
        found, moved = splits.assign([own, big], **SHARES)
        usual = {sha256: splits.split_of(sha256, **SHARES) for sha256 in own}
        lacking = {"train", "test", *(["validation"] if size > 2 else [])} - set(usual.values())
        assert sum(found[sha256] != usual[sha256] for sha256 in own) == moved <= 2
        assert (moved > 0) == bool(lacking)
        counts = Counter(found[sha256] for sha256 in own)
        assert counts["train"] and counts["test"] and (size == 2 or counts["validation"])
        assert splits.assign([own[::-1] * 2, big], **SHARES)[0] == found


def test_links_that_lead_nowhere_are_in_the_error_and_else_named_in_the_log(tmp_path, ingested, capfd):
    root = put(tmp_path / "photos", {f"{label}/{n}.png": 50 * place + n for place, label in enumerate("ab")
                                     for n in range(20)})  # fmt: skip
    (root / "a" / "gone.png").symlink_to(tmp_path / "cache" / "gone")
    ingested(root)
    assert "1 links lead nowhere or in a circle: a/gone.png" in capfd.readouterr().err
    (root / "c").mkdir()
    (root / "c" / "1.png").symlink_to(tmp_path / "cache" / "none")
    with pytest.raises(DataError, match=r"class 'c': has no images; .* 2 links that lead nowhere or in a circle"):
        ingested(root)
