"""Pages for people: self-contained HTML from a step's results, everything escaped, nothing loaded from a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from frostline import artifacts

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("frostline", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["thousands"] = lambda number: f"{number:,}"
_ENVIRONMENT.filters["percent"] = lambda share: f"{100 * share:.1f} %"


def write(path: Path, template: str, **context: Any) -> None:
    """Render a template of `frostline/templates` into a file."""
    artifacts.write_file(path, _ENVIRONMENT.get_template(template).render(**context).encode())
