"""Relative paths that stay below their root."""

import pytest

from frostline.errors import StorageError
from frostline.storage.base import relative_parts


@pytest.mark.parametrize(("path", "parts"), [("a", ["a"]), ("a/b c/..d", ["a", "b c", "..d"]), (".a/b.", [".a", "b."])])
def test_a_relative_path_is_split_at_its_slashes(path, parts):
    assert relative_parts(path) == parts


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a\\b", "a\0b", "./a"])
def test_a_path_that_could_leave_its_root_is_refused(path):
    with pytest.raises(StorageError) as caught:
        relative_parts(path)
    assert (
        str(caught.value)
        == f"received the path {path!r}; expected a relative path below its root, with forward slashes"
    )
