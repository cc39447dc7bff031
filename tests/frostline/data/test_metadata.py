"""metadata.csv: kept as it is written, or refused in one line that says where it is wrong."""

import pytest

from frostline.data import metadata
from frostline.errors import DataError


def parse(text):
    return metadata.parse(text if isinstance(text, bytes) else text.encode(), "photos: metadata.csv")


def test_all_other_columns_are_kept_as_text_without_surrounding_spaces():
    text = 'file_name,site,sha256,label\ncats/1.png, north ,007,"a, ""b"""\ncats/deep/2.png,=1+1,<b>,\n'
    assert parse(text) == {
        "cats/1.png": {"label": 'a, "b"', "sha256": "007", "site": "north"},
        "cats/deep/2.png": {"label": "", "sha256": "<b>", "site": "=1+1"},
    }


def test_the_order_of_columns_does_not_matter():
    one, other = parse("file_name,b,a\nx.png,2,1\n"), parse("a,file_name,b\n1,x.png,2\n")
    assert list(one["x.png"].items()) == list(other["x.png"].items()) == [("a", "1"), ("b", "2")]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbffile_name,site\nx.png,n\xc3\xb6rd\n",
        "file_name,site\r\nx.png,nörd\r\n",
        "file_name,site\rx.png,nörd",
        "file_name,site\n\n\nx.png,nörd\n\n",
        " file_name , site \n x.png , nörd \n",
    ],
)
def test_marks_line_ends_and_blank_lines_of_other_programs_are_read(text):
    assert parse(text) == {"x.png": {"site": "nörd"}}


def test_a_row_that_ends_early_has_empty_values_and_file_name_alone_has_none():
    assert parse("file_name,a,b\nx.png,1\n") == {"x.png": {"a": "1", "b": ""}}
    assert parse("file_name\nx.png\n") == {"x.png": {}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"file_name,site\nx.png,n\xf6rd\n", "byte 22 is not UTF-8; save it as CSV in UTF-8"),
        ("", "line 1: received the columns nothing; expected file_name among them"),
        ("path,site\nx.png,n\n", "line 1: received the columns 'path', 'site'; expected file_name"),
        ("file_name,a\nx.png,1\ny.png,1\nx.png,2\n", "line 4: file_name: received 'x.png' twice"),
        ("file_name,a\nx.png,1,2\n", "line 2: received 3 fields; expected 2, one per column"),
        ('file_name,a\ny.png,"two\nlines"\nx.png,1,2\n', "line 4: received 3 fields"),
        ("file_name,a,a\nx.png,1,2\n", "line 1: column 3: received 'a'; expected a unique name of 1 to 200 characters"),
        (",file_name\n0,x.png\n", "line 1: column 1: received ''; expected a unique name of 1 to 200 characters"),
        ('file_name,a\nx.png,"1\n', "line 2: is not CSV"),
        (f"file_name,a\nx.png,{'v' * 201}\n", "line 2: column 'a': received 201 characters; expected at most 200"),
        (
            f"file_name,{','.join(f'c{n}' for n in range(64))}\n",
            "65 columns, and 'c63' as number 65; expected at",
        ),
    ],
)
def test_a_malformed_table_is_refused_in_one_line_that_says_where(text, message):
    with pytest.raises(DataError) as caught:
        parse(text)
    assert str(caught.value).startswith("photos: metadata.csv: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_largest_table_that_is_allowed_is_read():
    columns = [f"c{n}" for n in range(63)]
    found = parse(f"file_name,{','.join(columns)}\nx.png,{','.join(['v' * 200] * 63)}\n")
    assert found == {"x.png": dict.fromkeys(sorted(columns), "v" * 200)}
