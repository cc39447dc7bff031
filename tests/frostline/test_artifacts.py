"""Files between steps: schemas, atomic writes, and one-line errors for what cannot be read or written."""

import json
import resource
import shutil
import subprocess
import sys

import pytest

from frostline import artifacts, digests
from frostline.errors import DataError, StorageError


def test_json_comes_back_with_its_schema(tmp_path):
    path = tmp_path / "deep" / "thing.json"
    artifacts.write_json(path, "thing", {"number": 1.5, "name": "é"})
    assert artifacts.read_json(path, "thing") == {"schema": "frostline/thing/v1", "number": 1.5, "name": "é"}


def test_bytes_are_parsed_as_a_file_is_read(tmp_path):
    data = artifacts.encode("thing", {"number": 1})
    (tmp_path / "thing.json").write_bytes(data)
    assert artifacts.parse(data, "thing", "here") == artifacts.read_json(tmp_path / "thing.json", "thing")
    with pytest.raises(DataError, match=r"^here: received schema 'frostline/thing/v1'; this version reads .*other/v1'"):
        artifacts.parse(data, "other", "here")


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', '{"schema": "frostline/thing/v2"}', '{"schema": null}', "{}"])
def test_what_is_not_the_expected_document_is_refused_by_name(tmp_path, text):
    path = tmp_path / "thing.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"thing\.json: ") as caught:
        artifacts.read_json(path, "thing")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"leaked": 7, "leaked": 0', "duplicate key"),
        ('"inside": [{"x": 1, "x": 1}]', "duplicate key"),
        ('"loss": NaN', "NaN is not a JSON number"),
        ('"loss": -Infinity', "-Infinity is not a JSON number"),
        ('"deep": ' + "[" * 100_000, "is not JSON"),
    ],
)
def test_what_two_readers_may_take_for_two_things_is_refused(tmp_path, text, told):
    path = tmp_path / "thing.json"
    path.write_text('{"schema": "frostline/thing/v1", ' + text + "}")
    with pytest.raises(DataError, match=told):
        artifacts.read_json(path, "thing")


def test_what_cannot_be_read_is_told_in_one_line(tmp_path):
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        artifacts.read_json(tmp_path, "thing")


def test_missing_files_are_told(tmp_path):
    with pytest.raises(DataError, match=r"is missing; expected a frostline/thing/v1 file"):
        artifacts.read_json(tmp_path / "none.json", "thing")
    with pytest.raises(DataError, match="is missing"):
        list(artifacts.read_jsonl(tmp_path / "none.jsonl"))


def test_a_broken_line_is_named_by_its_number(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(DataError, match="line 2 is not JSON"):
        list(artifacts.read_jsonl(path))


def test_numbers_that_json_does_not_know_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        artifacts.write_json(tmp_path / "x.json", "thing", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_write_that_cannot_happen_names_the_path(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/x\.json: cannot be written: File exists"):
        artifacts.write_json(tmp_path / "file" / "x.json", "thing", {})


def limited(tmp_path, code):
    """Run Python code in a process whose files cannot exceed 4 KiB; -B, or it would truncate bytecode, too."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    return subprocess.run(
        [sys.executable, "-B", "-c", code, str(tmp_path)], preexec_fn=limit, capture_output=True, text=True, check=False
    )


WRITE = """
import sys
from pathlib import Path
from frostline import artifacts, errors
path = Path(sys.argv[1]) / "big.json"
try:
    artifacts.write_file(path, b"x" * 100_000)
except errors.StorageError as error:
    print(error)
    print(sorted(p.name for p in path.parent.iterdir()))
"""


def test_a_file_that_does_not_fit_leaves_nothing_and_the_old_one_stays(tmp_path):
    (tmp_path / "big.json").write_text("old")
    done = limited(tmp_path, WRITE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{tmp_path}/big.json: cannot be written: File too large", "['big.json']"]
    assert (tmp_path / "big.json").read_text() == "old"


def test_digests_agree_whatever_kfp_does_to_numbers_and_order():
    assert digests.of_json({"a": 3, "b": [1, 2.5]}) == digests.of_json({"b": [1.0, 2.5], "a": 3.0})
    assert digests.of_json({"a": 3}) != digests.of_json({"a": "3"})
    assert digests.of_json({"a": True}) != digests.of_json({"a": 1})


def test_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"frost" * 1000)
    assert digests.of_file(path) == digests.of_bytes(b"frost" * 1000)
    assert json.loads(digests.canonical_json({"b": 1, "a": 2})) == {"a": 2, "b": 1}


def test_nothing_is_left_of_a_directory_made_for_a_write_that_failed_midway(tmp_path):
    target = tmp_path / "x.json"
    target.mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        artifacts.write_file(target, b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    shutil.rmtree(target)


def test_lines_that_cannot_be_read_are_told_in_one_line(tmp_path):
    (tmp_path / "latin").write_bytes(b'{"id": "caf\xe9"}\n')
    (tmp_path / "directory").mkdir()
    for name, words in (("latin", "is not UTF-8"), ("directory", "Is a directory"), ("latin/below", "cannot be read")):
        with pytest.raises(DataError, match=words) as caught:
            list(artifacts.read_jsonl(tmp_path / name))
        assert "\n" not in str(caught.value)
