"""Text for people: one line, short lists, sizes, and Markdown that shows a text as it is."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from frostline.text import listed, markdown, one_line, os_reason, size_words, without_user


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("a\n\tb  c\r\n", "a b c"),
        (ValueError("first\nsecond"), "first second"),
        ("red \x1b[31m and bell \x07", "red [31m and bell"),
        ("half \ud800 of a pair", "half of a pair"),
        ("hidden \u202e turn", "hidden turn"),
    ],
)
def test_one_line_has_what_can_be_printed_and_nothing_else(value, line):
    assert one_line(value) == line


def test_one_line_is_cut():
    assert one_line("x" * 301) == "x" * 300
    assert one_line("abcdef", 3) == "abc"


@given(st.text())
def test_whatever_comes_in_one_line_comes_out(text):
    line = one_line(text)
    assert line.isprintable()
    assert line == line.strip()


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d", "e"], "a, b, c and 2 more")],
)
def test_a_list_names_the_first_three_and_counts_the_rest(names, text):
    assert listed(names) == text


def test_a_list_may_show_more_and_separate_otherwise():
    assert listed(["a", "b", "c"], 2, separator="; ") == "a; b and 1 more"
    assert listed([str(number) for number in range(1500)], 1) == "0 and 1,499 more"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (888_000, "888 kB"), (999_600, "1 MB"), (27_017_216, "27 MB"),
        (1_500_000_000, "1.5 GB"), (2 * 10**12, "2 TB"), (5 * 10**15, "5,000 TB"),
    ],
)  # fmt: skip
def test_sizes_have_three_digits_and_a_unit_of_a_thousand(number, words):
    assert size_words(number) == words


@given(st.text())
def test_markdown_of_any_text_is_one_paragraph_of_that_text(text):
    html = MarkdownIt("gfm-like", {"linkify": False}).render(markdown(text)) if markdown(text) else ""
    for tag in ("<a", "<em", "<strong", "<code", "<h1", "<img", "<script", "<table", "<del"):
        assert tag not in html.lower()


HOSTILE = [
    "**bold** _em_ `code` ~~gone~~",
    "[link](http://example.com) ![image](http://example.com/x.png)",
    "<script>alert(1)</script> <http://example.com>",
    "http://example.com and www.example.com",
    "a | b | c",
    "a\\*b",
    "@someone #1 $x$",
    "two\n\n# lines",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("frame", ["{}", "- {}", "| x |\n|---|\n| {} |"])
def test_markdown_shows_a_hostile_text_as_it_is(value, frame):
    """Rendered, it is the one line itself, in a paragraph, a list item or a table cell: nothing is lost or added."""
    tokens = MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse(frame.format(markdown(value)))
    [inline] = [token for token in tokens if token.type == "inline" and token.content != "x"]
    assert {child.type for child in inline.children} <= {"text", "text_special"}
    assert "".join(child.content for child in inline.children) == one_line(value)


def test_markdown_breaks_the_bare_addresses_that_renderers_turn_into_links():
    assert markdown("http://x www.x") == "http\\://x www\\.x"


def test_markdown_does_not_cut():
    assert markdown("x" * 10_000) == "x" * 10_000


def test_a_missing_permission_names_the_user_and_other_reasons_do_not():
    told = os_reason(PermissionError(errno.EACCES, "Permission denied"))
    assert told.startswith(f"Permission denied for user {os.getuid()}, who has to own")
    assert os_reason(OSError(errno.ENOSPC, "No space left on device")) == "No space left on device"
    assert os_reason(OSError("strange")) == "strange"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://ann:secret@host/x", "https://host/x"),
        ("https://ann@host", "https://host"),
        ("http://ann:s@e:c@r@host:8080/x@y", "http://host:8080/x@y"),
        ("http://ann:a?b#c@host", "http://host"),
        ("GET http://a:b@one/ and http://c:d@two/: mail ann@host", "GET http://one/ and http://two/: mail ann@host"),
        ("gs://bucket/ann@host", "gs://bucket/ann@host"),
        ("https://host/a@b", "https://host/a@b"),
    ],
)
def test_users_and_passwords_are_taken_out_of_urls(text, told):
    assert without_user(text) == told
