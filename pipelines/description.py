"""The pipeline's description, as Kubeflow shows it beside the run form, which itself shows names and types only."""

from __future__ import annotations

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from frostline.config import RunConfig
from frostline.freeze.config import POLICIES

SUMMARY = "Fine-tune, certify, evaluate, gate, then push or hold."
_HEADER = "| parameter | default | meaning |\n|---|---|---|\n"


def text() -> str:
    """Markdown: every parameter and every key of its sections, with its default and its description."""
    sections = {name: field for name, field in RunConfig.model_fields.items() if _section(field)}
    parts = [
        SUMMARY,
        "Name the container image, by digest, and the service account, `frostline`. The first step checks all "
        "parameters before anything expensive runs. The "
        "outcome is the output of the last step, release: pushed, candidate or held.",
        _HEADER + "".join(_row(name, field) for name, field in RunConfig.model_fields.items() if name not in sections),
    ]
    for name, field in sections.items():
        rows = "".join(_row(key, inner) for key, inner in _fields(field).items())
        choice = f" Exactly one of {', '.join(POLICIES)}." if name == "freeze" else ""
        parts.append(f"**{name}**, a JSON object: {field.description}.{choice}\n\n{_HEADER}{rows}")
    return "\n\n".join(part.rstrip("\n") for part in parts)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _fields(field: FieldInfo) -> dict[str, FieldInfo]:
    section = _section(field)
    return {} if section is None else section.model_fields


def _row(name: str, field: FieldInfo) -> str:
    default = "" if field.is_required() or field.default in (None, "") else f"`{_plain(field.default)}`"
    meaning = (field.description or "").replace("|", "or")
    return f"| {name} | {default} | {meaning} |\n"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
