"""A text of chapters with paragraphs, lists, tables and code, written once and rendered as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frostline import artifacts
from frostline.reporting import pages
from frostline.text import markdown


@dataclass(frozen=True)
class Table:
    """Headings and rows of text; columns from number `numbers` on are right-aligned."""

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: int = 1


@dataclass(frozen=True)
class Code:
    """Lines of code and the name of their language."""

    language: str
    text: str


Block = str | list[str] | Table | Code  # a string is a paragraph, a list of strings a list


@dataclass(frozen=True)
class Chapter:
    """A heading and the blocks below it."""

    heading: str
    blocks: Sequence[Block]


def write_markdown(path: Path, title: str, chapters: Sequence[Chapter]) -> None:
    """Write GitHub's Markdown; text never becomes markup, whatever it contains."""
    parts = [f"# {markdown(title)}"]
    for chapter in chapters:
        parts += [f"## {markdown(chapter.heading)}", *map(_markdown, chapter.blocks)]
    artifacts.write_file(path, ("\n\n".join(parts) + "\n").encode())


def write_html(path: Path, title: str, chapters: Sequence[Chapter]) -> None:
    """Write one HTML file with the same words."""
    typed = [(chapter.heading, [(type(block).__name__, block) for block in chapter.blocks]) for chapter in chapters]
    pages.write(path, "document.html", title=title, chapters=typed)


def _markdown(block: Block) -> str:
    if isinstance(block, str):
        return markdown(block)
    if isinstance(block, list):
        return "\n".join(f"- {markdown(item)}" for item in block)
    if isinstance(block, Code):
        return f"```{block.language}\n{block.text}\n```"
    ruler = ["---" if number < block.numbers else "---:" for number in range(len(block.headings))]
    lines = [map(markdown, block.headings), ruler, *(map(markdown, row) for row in block.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
