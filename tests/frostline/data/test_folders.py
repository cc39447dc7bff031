"""What folders stand for: classes or given splits; and files known by their content."""

import io

import numpy as np
import pytest
from PIL import Image

from frostline import storage
from frostline.data import folders
from frostline.data.sources import open_source
from frostline.errors import DataError

from tests.support.relay import Relay, flipped


def put(root, *paths, kind="PNG"):
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)).save(buffer, kind)
        (root / path).write_bytes(buffer.getvalue())
    return root


def tree(*splits):
    return [f"{split}/{label}/{number}.png" for split in splits for label in ("cat", "dog") for number in (1, 2)]


@pytest.mark.parametrize(("names", "splits"), [
    (("train", "val", "test"), ["train", "validation", "test"]),
    (("Training", "VALID", "Testing"), ["train", "validation", "test"]),
    (("train", "dev", "test"), ["train", "validation", "test"]),
    (("train", "eval"), ["train", "validation"]),
    (("train", "test"), ["train", "test"]),
])  # fmt: skip
def test_folders_named_as_splits_are_given_splits(tmp_path, names, splits):
    source = open_source(str(put(tmp_path, *tree(*names))))
    assert source.labels == ("cat", "dog")
    found = {image.id.split("/")[0]: image.split for image in source.images}
    assert found == dict(zip(names, splits, strict=True))
    assert {image.label for image in source.images if image.id.startswith(f"{names[-1]}/")} == {"cat", "dog"}


@pytest.mark.parametrize("paths", [
    tree("train"), tree("train", "val", "test", "extra"), tree("val", "test"), tree("train", "val", "valid"),
    [*tree("train", "val"), "test/1.png"], [*tree("train"), "bus/1.png", "car/1.png"],
])  # fmt: skip
def test_folders_that_can_be_read_both_ways_need_a_choice(tmp_path, paths):
    root = put(tmp_path / "photos", *paths)
    with pytest.raises(DataError) as caught:
        open_source(str(root))
    message = str(caught.value)
    assert "can be read in two ways: as classes, or" in message
    assert message.endswith("as given splits with class folders inside; set data.layout to classes or to splits")
    assert "\n" not in message
    as_classes = open_source(str(root), "classes")
    assert as_classes.labels == tuple(sorted({path.split("/")[0] for path in paths}))
    assert {image.split for image in as_classes.images} == {None}
    if any(path.startswith("train/") for path in paths):
        assert set(open_source(str(root), "splits").labels) <= {"cat", "dog"}


def test_classes_that_are_called_like_splits_are_classes_if_images_are_in_them(tmp_path):
    root = put(tmp_path, "train/1.png", "bus/1.png", "test/1.png")
    assert open_source(str(root)).labels == ("bus", "test", "train")


def test_a_layout_of_splits_leaves_other_folders_out_and_needs_a_train_folder(tmp_path):
    root = put(tmp_path / "photos", *tree("train", "test", "extra"), "test/loose.png")
    source = open_source(str(root), "splits")
    assert source.total == 8
    assert source.left_out == {"outside the split folders": 4, "outside the class folders": 1}
    with pytest.raises(DataError, match="has no folder train with images; use classes"):
        open_source(str(put(tmp_path / "other", "cat/1.png", "dog/1.png")), "splits")


def test_splits_in_a_bucket(gcs):
    from frostline import storage

    for number, path in enumerate(tree("train", "test")):
        storage.write_bytes(f"{gcs}/photos/{path}", b"\xff\xd8\xff" + bytes([number]))
    source = open_source(f"{gcs}/photos")
    assert (source.labels, source.total) == (("cat", "dog"), 8)
    assert [image.split for image in source.images] == ["test"] * 4 + ["train"] * 4


def test_images_are_known_by_content_whatever_their_extension(tmp_path):
    put(tmp_path, "cat/1.jfif", "cat/2", "cat/3.JPE", "dog/4.dat", kind="JPEG")
    put(tmp_path, "dog/5.tif", "dog/6.TIFF", kind="TIFF")
    (tmp_path / "dog/notes.txt").write_text("x")
    source = open_source(str(tmp_path))
    assert [image.id for image in source.images] == ["cat/1.jfif", "cat/2", "cat/3.JPE", "dog/4.dat"]
    tiff = "(TIFF, which cannot be read; convert them to JPEG or PNG)"
    assert source.left_out == {f".tif {tiff}": 1, f".tiff {tiff}": 1, ".txt (not images)": 1}


def test_what_was_passed_over_is_in_the_error(tmp_path):
    put(tmp_path, "1.tif", "2.tif", kind="TIFF")
    with pytest.raises(DataError, match=r"files left out: 2 \.tif \(TIFF, which cannot be read; convert them"):
        open_source(str(tmp_path))


def test_two_folders_linked_to_one_are_both_read(tmp_path):
    put(tmp_path / "elsewhere", "1.png")
    (tmp_path / "photos").mkdir()
    for label in ("a", "b"):
        (tmp_path / "photos" / label).symlink_to(tmp_path / "elsewhere")
    assert folders.list_images(str(tmp_path / "photos")).images == ["a/1.png", "b/1.png"]


def test_a_flat_folder_with_labels_in_its_table(tmp_path):
    put(tmp_path, "1.png", "deep/2.png", "3.png", "4.png")
    (tmp_path / "metadata.csv").write_text(
        "file_name,label,site\n1.png,cat,north\ndeep/2.png,dog,south\n3.png,,x\ngone.png,cat,x\n"
    )
    source = open_source(str(tmp_path))
    assert [(image.id, image.label, image.metadata) for image in source.images] == [
        ("1.png", "cat", {"site": "north"}), ("deep/2.png", "dog", {"site": "south"}),
    ]  # fmt: skip
    assert source.labels == ("cat", "dog")
    assert source.left_out == {"without a label in the metadata": 2}
    assert source.unmatched == ("gone.png",)


def test_labels_may_be_in_json_lines(tmp_path):
    put(tmp_path, "1.png", "2.png")
    table = tmp_path / "metadata.jsonl"
    table.write_text('{"file_name": "1.png", "label": 0, "box": [1, 2]}\n\n{"file_name": "2.png", "label": "dog"}\n')
    assert [(image.label, image.metadata) for image in open_source(str(tmp_path)).images] == [("0", {}), ("dog", {})]
    table.write_text('{"file_name": "1.png", "label": "a"}\nnot json\n')
    with pytest.raises(DataError, match=r"metadata\.jsonl: line 2: is not JSON"):
        open_source(str(tmp_path))
    (tmp_path / "metadata.csv").write_text("file_name,label\n1.png,a\n")
    with pytest.raises(DataError, match=r"received metadata\.csv and metadata\.jsonl; expected one of them"):
        open_source(str(tmp_path))


def test_class_folders_count_for_more_than_a_column_called_label(tmp_path):
    put(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\na/1.png,x\nb/2.png,y\n")
    assert [(image.label, image.metadata) for image in open_source(str(tmp_path)).images] == [
        ("a", {"label": "x"}), ("b", {"label": "y"}),
    ]  # fmt: skip


LOOSE = ("train/1.png", "train/2.png", "test/1.png")


@pytest.mark.parametrize("where", ["root", "in each split"])
def test_loose_images_in_split_folders_have_their_labels_in_a_table(tmp_path, where):
    put(tmp_path, *LOOSE)
    if where == "root":
        rows = "train/1.png,cat\ntrain/2.png,dog\ntest/1.png,cat\n"
        (tmp_path / "metadata.csv").write_text(f"file_name,label\n{rows}")
    else:
        (tmp_path / "train" / "metadata.csv").write_text("file_name,label\n1.png,cat\n2.png,dog\n")
        (tmp_path / "test" / "metadata.jsonl").write_text('{"file_name": "1.png", "label": "cat"}\n')
    source = open_source(str(tmp_path))
    assert [(image.id, image.label, image.split) for image in source.images] == [
        ("test/1.png", "cat", "test"), ("train/1.png", "cat", "train"), ("train/2.png", "dog", "train"),
    ]  # fmt: skip
    assert (source.labels, source.left_out) == (("cat", "dog"), {})
    assert open_source(str(tmp_path), "classes").labels == ("test", "train")


def test_loose_images_in_split_folders_without_labels_need_a_choice(tmp_path):
    root = str(put(tmp_path, *LOOSE))
    with pytest.raises(DataError, match=r"as classes, or test, train as given splits without labels \(a column label"):
        open_source(root)
    assert open_source(root, "classes").labels == ("test", "train")


def test_an_image_is_not_left_out_because_a_bit_of_its_beginning_changed_on_the_way(gcs, tmp_path):
    put(tmp_path, "cat/photo")
    storage.upload_file(tmp_path / "cat" / "photo", f"{gcs}/cat/photo")
    faults = [flipped]
    with Relay(lambda method, path, _: faults.pop() if faults and "alt=media" in path else None):
        found = folders.list_images(gcs)
    assert faults == []
    assert (found.images, found.left_out) == (["cat/photo"], {})
