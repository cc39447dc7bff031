"""Names that cannot be shown, or that mean something else as a path, never become an image, a class or a page."""

import os

import pytest

from frostline import storage
from frostline.data import metadata
from frostline.data.sources import open_source
from frostline.errors import DataError

from tests.support.ingesting import photo

ODD = ["cats/new\nline.png", "cats/turned\u202egnp.png", "cats/\x1b[2Kgone.png", "cats/x\u2028y.png", "cats/\x7f.png"]


@pytest.mark.parametrize("name", [*ODD, "//x.png", "/x.png", "cats//x.png", "../x.png", "cats/../../x.png", "./x.png"])
def test_an_object_with_a_name_that_is_no_path_is_left_out_and_makes_no_class(gcs, name):
    for number, path in enumerate(("cats/1.png", "dogs/1.png", name)):
        storage.write_bytes(f"{gcs}/photos/{path}", photo(number))
    source = open_source(f"{gcs}/photos")
    assert [image.id for image in source.images] == ["cats/1.png", "dogs/1.png"]
    assert source.labels == ("cats", "dogs")
    assert source.left_out == {"with a name that is not printable text": 1}


@pytest.mark.parametrize("folder", [b"new\nline", b"caf\xe9", "turned\u202e".encode(), b"\x1b[2K"])
def test_a_folder_inside_a_class_with_such_a_name_is_left_out(tmp_path, folder):
    for path in (b"cats/1.png", b"dogs/1.png", b"cats/" + folder + b"/2.png"):
        file = tmp_path / os.fsdecode(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo(1))
    source = open_source(str(tmp_path))
    assert [image.id for image in source.images] == ["cats/1.png", "dogs/1.png"]
    assert source.left_out == {"with a name that is not printable text": 1}


@pytest.mark.parametrize("folder", [b"new\nline", b"caf\xe9", "turned\u202e".encode()])
def test_a_class_with_such_a_name_is_refused_in_one_line(tmp_path, folder):
    for path in (b"cats/1.png", folder + b"/2.png"):
        file = tmp_path / os.fsdecode(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo(1))
    with pytest.raises(DataError, match="expected a name without control characters") as caught:
        open_source(str(tmp_path))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("odd", ["a\\nb", "a\\u202eb", "a\\ud800b", "a\\u001b[2Kb"])
def test_values_of_metadata_can_be_shown(tmp_path, odd):
    for path in ("cats/1.png", "dogs/1.png"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo(1))
    row = f'{{"file_name": "cats/1.png", "site": "{odd}", "{odd}": "x"}}\n'
    (tmp_path / "metadata.jsonl").write_text(row)
    values = {image.id: image.metadata for image in open_source(str(tmp_path)).images}["cats/1.png"]
    assert values["site"][0] + values["site"][-1] == "ab"
    assert all(text.isprintable() for pair in values.items() for text in pair)


def test_a_line_break_in_a_quoted_field_of_a_table_becomes_a_space():
    found = metadata.parse(b'file_name,site\r\na.png,"north\r\n  east"\r\n', "metadata.csv")
    assert found == {"a.png": {"site": "north east"}}
