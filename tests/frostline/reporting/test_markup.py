"""A text that is rendered twice: whatever it holds, it stays text."""

import re

import pytest
from markdown_it import MarkdownIt

from frostline.reporting import markup
from frostline.reporting.markup import Chapter, Code, Table
from frostline.text import markdown

HOSTILE = [
    "<script>alert(1)</script>", "<b>bold</b>", "*em* _em_ **strong** ~~gone~~", "`code`", "[link](https://e.org)",
    "![image](https://e.org/x.png)", "a | b", "back\\slash", "# heading", "&lt;b&gt; &copy;", "$x^2$", "@someone",
    "https://e.org/path", "www.e.org", "someone@e.org", "two\nlines\r\nand\ttabs", "- item", "\u202eright", "<!-- gone",
]  # fmt: skip


def rendered(tmp_path, *blocks):
    """The HTML that a Markdown program makes of the text."""
    markup.write_markdown(tmp_path / "d.md", "Title", [Chapter("Part", blocks)])
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render((tmp_path / "d.md").read_text())


def plain(text):
    """One line of what can be printed: what a renderer has to show of a text."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def unescaped(html):
    for entity, letter in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        html = html.replace(entity, letter)
    return html


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_a_text_as_it_is_in_paragraphs_lists_and_tables(tmp_path, text):
    html = rendered(tmp_path, f"A {text}", [f"B {text}"], Table((f"C {text}", "n"), [(text, text)]))
    assert set(re.findall(r"</?([a-z0-9]+)", html)) == {
        "h1", "h2", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    cells = re.findall(r"<t[dh](?: [^>]*)?>(.*?)</t[dh]>", html, re.S)
    assert [unescaped(cell) for cell in cells] == [f"C {plain(text)}", "n", plain(text), plain(text)]
    assert f"<p>A {plain(text)}</p>" in unescaped(html)
    assert f"<li>B {plain(text)}</li>" in unescaped(html)


@pytest.mark.parametrize("text", ["https://e.org/path", "www.e.org", "WWW.e.org", "someone@e.org", "ftp://e.org"])
def test_no_bare_address_is_left_that_github_would_make_a_link_of(text):
    assert not re.search(r"[^\\]://|www\.|[^\\]@", markdown(text), re.IGNORECASE)


def test_html_has_the_same_words_and_no_markup_of_a_text(tmp_path):
    blocks = [
        "Para <i>",
        ["one <i>", "two"],
        Table(("name", "n"), [("<i>", "3")]),
        Code("python", "if a < b:\n    c()"),
    ]
    markup.write_html(tmp_path / "d.html", "T <i>", [Chapter("Part <i>", blocks)])
    html = (tmp_path / "d.html").read_text()
    assert "<i>" not in html
    assert "<h1>T &lt;i&gt;</h1>" in html
    assert "<li>one &lt;i&gt;</li><li>two</li>" in html
    assert '<td>&lt;i&gt;</td><td class="n">3</td>' in html
    assert "<pre><code>if a &lt; b:\n    c()</code></pre>" in html


def test_numbers_are_aligned_to_the_right_and_code_is_left_as_it_is(tmp_path):
    markup.write_markdown(
        tmp_path / "d.md", "T", [Chapter("P", [Table(("a", "b", "n"), [("x", "y", "1")], 2), Code("python", "f(*a)")])]
    )
    assert (tmp_path / "d.md").read_text() == (
        "# T\n\n## P\n\n| a | b | n |\n| --- | --- | ---: |\n| x | y | 1 |\n\n```python\nf(*a)\n```\n"
    )
