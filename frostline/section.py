"""The base of every configuration section: strict, immutable models with one-line errors.

A section reaches its step through KFP, which turns every number of a dict into a float and every tuple into a list. The
types here convert exactly that back, and nothing else.
"""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from frostline.errors import ConfigError

_MODEL_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123 label, as in Kubernetes
_EXPONENT = re.compile(r"[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")  # no path has a null, and UTF-8 no half of a surrogate pair
_LARGEST = 2**31 - 1  # TensorFlow counts steps and units in 32 bits


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: Any) -> Any:
    """YAML 1.1 reads a number without a point, such as 1e-3, as text."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _storable(value: str) -> str:
    if _UNSTORABLE.search(value):
        raise ValueError("expected text without null characters and halves of surrogate pairs")
    return value


def as_tuple(value: Any) -> Any:
    """Convert a list to a tuple, which an immutable section holds; leave anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def check_model_name(name: str) -> str:
    """Check the name of a model in a registry; it becomes a directory and the name of a Kubernetes object.

    Raises:
        ValueError: says what is expected.
    """
    if not _MODEL_NAME.fullmatch(name):
        raise ValueError("expected 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end")
    return name


Integer = Annotated[int, BeforeValidator(_integral), Field(le=_LARGEST)]
Number = Annotated[float, BeforeValidator(_number)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Text = Annotated[str, AfterValidator(_storable)]
ModelName = Annotated[str, AfterValidator(check_model_name)]


class Section(BaseModel):
    """Base of every configuration section: immutable, and strict about types and unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


TEXT = "expected text"
_UNQUOTED = (bool, int, float, datetime.date, type(None))  # what YAML reads in place of a text without quotes
_PLAIN = {  # instead of pydantic's messages that name Python types
    "tuple_type": "expected a list",
    "model_type": "expected a mapping",
    "string_type": TEXT,
}
S = TypeVar("S", bound=Section)


class Problem(NamedTuple):
    """What is wrong with a value: its dotted place, what was received there, and what is expected."""

    place: str
    received: object
    expected: str


def first_problem(error: ValidationError) -> Problem:
    """The first problem of a value that does not fit its model; `place` is empty for the value as a whole."""
    return _problem(error.errors(include_url=False)[0])


def _problem(first: ErrorDetails) -> Problem:
    message = _PLAIN.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    if first["type"] == "too_short":
        least = first["ctx"]["min_length"]
        message = f"expected at least {'one item' if least == 1 else f'{least} items'}"
    return Problem(".".join(map(str, first["loc"])), first["input"], message[:1].lower() + message[1:])


def parse(model: type[S], value: Any, *, field: str = "") -> S:
    """Parse `value` as a section.

    Args:
        model: the section's class.
        value: what was received, usually a dict.
        field: dotted name of the section, as a prefix for messages.

    Raises:
        ConfigError: names the first wrong field, what was received and what is expected.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place, received, expected = _problem(first)
        if first["type"] == "extra_forbidden":
            expected = f"unknown key; known keys are {', '.join(_owner(model, first['loc'][:-1]).model_fields)}"
        if expected == TEXT and isinstance(received, _UNQUOTED):
            expected = f"{TEXT}; in YAML, quote it"
        where = ".".join(part for part in (field, place) if part) or "configuration"
        raise ConfigError(where, received, expected) from None


def _owner(model: type[Section], path: tuple[int | str, ...]) -> type[Section]:
    """The section at a path inside another section; list positions in the path are skipped."""
    for part in path:
        if isinstance(part, str):
            annotation: Any = model.model_fields[part].annotation
            inside = getattr(annotation, "__args__", None)
            model = inside[0] if inside else annotation
    return model
