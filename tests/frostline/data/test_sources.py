"""Sources: which images each kind has, which files are left out, and what is refused."""

import io
import os

import numpy as np
import pytest
from PIL import Image as Pillow

from frostline import storage
from frostline.data.sources import open_source
from frostline.errors import ConfigError, DataError


def photo(number, kind="PNG"):
    """Encoded bytes of an 8x8 picture that differs with `number`."""
    buffer = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def put(root, *paths):
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(photo(number))
    return root


def test_digits_are_scikit_learns_as_png():
    from sklearn.datasets import load_digits

    digits = load_digits()
    source = open_source("digits")
    images = list(source.images)
    assert (source.name, source.total, source.packed) == ("digits", 1797, True)
    assert source.labels == tuple("0123456789")
    assert [image.id for image in images[:13:12]] == ["digits/00000", "digits/00012"]
    assert [image.label for image in images] == [str(target) for target in digits.target]
    with Pillow.open(io.BytesIO(images[12].data)) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (8, 8))
        assert np.abs(np.asarray(picture) / 255 * 16 - digits.images[12]).max() < 0.05


def test_a_folder_is_listed_by_class(tmp_path):
    root = put(tmp_path / "My Photos-2", "b/1.JPG", "b/deep/er/2.webp", "a/x.jpeg", "a/y.GIF", "a/z.bmp", "c/o.png")
    source = open_source(str(root))
    images = list(source.images)
    assert (source.name, source.labels, source.total) == ("my_photos_2", ("a", "b", "c"), 6)
    assert [(image.id, image.label) for image in images] == [
        ("a/x.jpeg", "a"), ("a/y.GIF", "a"), ("a/z.bmp", "a"), ("b/1.JPG", "b"), ("b/deep/er/2.webp", "b"),
        ("c/o.png", "c"),
    ]  # fmt: skip
    assert all(image.data is None for image in images)
    assert storage.read_bytes(images[0].uri) == (root / "a/x.jpeg").read_bytes()


def test_files_that_are_not_images_of_a_class_are_left_out_and_counted(tmp_path):
    root = put(
        tmp_path / "photos",
        "a/1.png", "b/1.png", "loose.png", ".hidden/1.png", "a/.DS_Store.png", "b/.cache/2.png",
    )  # fmt: skip
    (root / "a/notes.txt").write_text("a note, which is no image, although it is long enough")
    (root / "b/x").write_text("")
    os.mkfifo(root / "b/pipe.png")  # reading it would never return
    source = open_source(str(root))
    assert [image.id for image in source.images] == ["a/1.png", "b/1.png"]
    assert source.labels == ("a", "b")
    assert source.left_out == {
        "outside the class folders": 1,
        "hidden": 1,
        ".txt (not images)": 1,
        "without extension (not images)": 1,
        "not regular files": 1,
    }


def test_links_are_followed_and_those_that_lead_nowhere_are_named(tmp_path):
    put(tmp_path / "cache", "blobs/0a1b", "blobs/2c3d", "owls/1.png", "owls/2.png")
    root = put(tmp_path / "photos", "a/1.png", "b/1.png")
    (root / "a/linked.png").symlink_to(tmp_path / "cache/blobs/0a1b")
    (root / "b/relative").symlink_to("../../cache/blobs/2c3d")
    (root / "owls").symlink_to(tmp_path / "cache/owls")
    (root / "a/gone.png").symlink_to(tmp_path / "cache/blobs/none")
    (root / "gone").symlink_to(tmp_path / "nothing")
    (root / "b/self.png").symlink_to(root / "b/self.png")
    (root / "b/round").symlink_to(root)
    (root / "again").symlink_to(root)
    source = open_source(str(root))
    assert [image.id for image in source.images] == [
        "a/1.png", "a/linked.png", "b/1.png", "b/relative", "owls/1.png", "owls/2.png",
    ]  # fmt: skip
    assert source.labels == ("a", "b", "owls")
    assert source.links == ("a/gone.png", "again", "b/round", "b/self.png", "gone")
    assert source.left_out == {"links that lead nowhere or in a circle": 5}


def test_the_source_itself_may_be_a_link(tmp_path):
    root = put(tmp_path / "photos", "a/1.png", "b/1.png")
    (tmp_path / "current").symlink_to(root)
    assert len(list(open_source(str(tmp_path / "current")).images)) == 2


@pytest.mark.parametrize(
    ("folder", "name"), [("2024 Photos", "images_2024_photos"), ("Füße", "f_e"), ("日本", "images")]
)
def test_the_name_is_one_that_tfds_accepts(tmp_path, folder, name):
    assert open_source(str(put(tmp_path / folder, "a/1.png"))).name == name


def test_a_bucket_is_read_like_a_directory(gcs):
    for number, path in enumerate(["cats/1.png", "dogs/deep/2.JPG", "dogs/3", "loose.png", ".trash/3.png"]):
        storage.write_bytes(f"{gcs}/photos/{path}", photo(number))
    storage.write_bytes(f"{gcs}/photos/dogs/notes.txt", b"x")
    source = open_source(f"{gcs}/photos/")
    assert (source.name, source.labels, source.total) == ("photos", ("cats", "dogs"), 3)
    images = list(source.images)
    assert [image.id for image in images] == ["cats/1.png", "dogs/3", "dogs/deep/2.JPG"]
    assert storage.read_bytes(images[2].uri) == photo(1)
    assert sum(source.left_out.values()) == 3
    with pytest.raises(DataError, match="has no class folder"):
        open_source(f"{gcs}/nothing")


def test_an_empty_class_folder_is_still_a_class(tmp_path):
    root = put(tmp_path / "photos", "a/1.png")
    (root / "b").mkdir()
    assert open_source(str(root)).labels == ("a", "b")


def test_missing_empty_or_odd_folders_are_refused_in_one_line(tmp_path):
    with pytest.raises(DataError, match="source: received '/no/such/place', which is not a directory; expected"):
        open_source("/no/such/place")
    with pytest.raises(DataError, match="has no class folder"):
        open_source(str(tmp_path))
    with pytest.raises(
        DataError, match=r"source: received the class folder 'two\\nlines'; expected a name without control"
    ):
        open_source(str(put(tmp_path / "odd", "two\nlines/1.png", "b/1.png")))


@pytest.mark.parametrize("source", ["s3://bucket/photos", "http://example.org/x", "file:///tmp"])
def test_other_schemes_are_refused(source):
    with pytest.raises(ConfigError, match=r"source: received .* expected digits, tfds://NAME, or a directory"):
        open_source(source)


def test_file_names_that_are_not_text_are_left_out_and_counted(tmp_path):
    for label in ("cats", "dogs"):
        folder = tmp_path / label
        folder.mkdir()
        for name in (b"fine.png", b"caf\xe9.png", b"two\nlines.png", "smörgås.png".encode()):
            (folder / os.fsdecode(name)).write_bytes(b"image")
    source = open_source(str(tmp_path))
    assert sorted(image.id for image in source.images) == [
        "cats/fine.png", "cats/smörgås.png", "dogs/fine.png", "dogs/smörgås.png",
    ]  # fmt: skip
    assert source.left_out == {"with a name that is not printable text": 4}


def test_metadata_belongs_to_its_file_and_is_not_left_out(tmp_path):
    root = put(tmp_path / "photos", "a/1.png", "b/deep/2.png", "b/3.png")
    (root / "metadata.csv").write_text("file_name,site\nb/deep/2.png,north\na/1.png,south\n")
    source = open_source(str(root))
    assert {image.id: image.metadata for image in source.images} == {
        "a/1.png": {"site": "south"}, "b/3.png": {}, "b/deep/2.png": {"site": "north"},
    }  # fmt: skip
    assert (source.left_out, source.unmatched) == ({}, ())


def test_only_the_metadata_at_the_root_is_used_and_may_be_a_link(tmp_path):
    root = put(tmp_path / "photos", "a/1.png", "b/1.png")
    (root / "a" / "metadata.csv").write_text("file_name,site\na/1.png,south\n")
    (tmp_path / "elsewhere.csv").write_text("file_name,site\na/1.png,north\n")
    (root / "metadata.csv").symlink_to(tmp_path / "elsewhere.csv")
    source = open_source(str(root))
    assert [image.metadata for image in source.images] == [{"site": "north"}, {}]
    assert source.left_out == {".csv (not images)": 1}


def test_metadata_in_a_bucket_and_names_that_match_no_image(gcs):
    for number, path in enumerate(["cats/1.png", "dogs/2.png"]):
        storage.write_bytes(f"{gcs}/photos/{path}", photo(number))
    storage.write_bytes(
        f"{gcs}/photos/metadata.csv", b"file_name,site\ndogs/2.png,west\ncats/9.png,x\n../cats/1.png,y\n"
    )
    source = open_source(f"{gcs}/photos")
    assert [image.metadata for image in source.images] == [{}, {"site": "west"}]
    assert source.unmatched == ("../cats/1.png", "cats/9.png")
    assert source.left_out == {}


def test_metadata_of_none_of_the_images_is_refused(tmp_path):
    root = put(tmp_path / "photos", "a/1.png", "b/1.png")
    (root / "metadata.csv").write_text("file_name,site\n/data/a/1.png,south\n/data/b/1.png,north\n")
    with pytest.raises(DataError) as caught:
        open_source(str(root))
    message = "metadata.csv: file_name: received '/data/a/1.png'; expected paths like 'a/1.png'"
    assert str(caught.value).endswith(message)
    (root / "metadata.csv").write_text("file_name,site\n")  # a header alone is allowed
    assert open_source(str(root)).unmatched == ()


def test_metadata_that_cannot_be_used_stops_the_run_and_names_its_source(tmp_path):
    root = put(tmp_path / "photos", "a/1.png", "b/1.png")
    (root / "metadata.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"photos: metadata\.csv: byte 0 is not UTF-8"):
        open_source(str(root))
