"""A text of sections, paragraphs, lists, tables and code, written once and rendered as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frostline import artifacts
from frostline.reporting import pages
from frostline.text import markdown


@dataclass(frozen=True)
class Table:
    """Headings and rows of text; columns from `numbers` on are aligned to the right."""

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: int = 1


@dataclass(frozen=True)
class Code:
    """Lines of code, and the name of their language."""

    language: str
    text: str


@dataclass(frozen=True)
class Chapter:
    """A heading and what follows it: a string is a paragraph, a list of strings a list."""

    title: str
    blocks: Sequence[str | list[str] | Table | Code]


def write_markdown(path: Path, title: str, sections: Sequence[Chapter]) -> None:
    """Write GitHub's Markdown; no text, whatever it holds, becomes markup."""
    parts = [f"# {markdown(title)}"]
    for section in sections:
        parts += [f"## {markdown(section.title)}", *map(_markdown, section.blocks)]
    artifacts.write_file(path, ("\n\n".join(parts) + "\n").encode())


def write_html(path: Path, title: str, sections: Sequence[Chapter]) -> None:
    """Write one HTML file with the same words."""
    blocks = [(section.title, [(type(block).__name__, block) for block in section.blocks]) for section in sections]
    pages.write(path, "document.html", title=title, sections=blocks)


def _markdown(block: str | list[str] | Table | Code) -> str:
    if isinstance(block, str):
        return markdown(block)
    if isinstance(block, list):
        return "\n".join(f"- {markdown(item)}" for item in block)
    if isinstance(block, Code):
        return f"```{block.language}\n{block.text}\n```"
    ruler = ["---" if number < block.numbers else "---:" for number in range(len(block.headings))]
    lines = [map(markdown, block.headings), ruler, *(map(markdown, row) for row in block.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
