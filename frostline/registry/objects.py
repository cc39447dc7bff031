"""What the objects of a registry must hold; other keys do not matter. Whoever can write there may have written them."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Number = Annotated[int, Field(ge=1, le=999_999_999)]
Name = Annotated[str, Field(min_length=1)]


class StoredObject(BaseModel):
    """Base of all: immutable, strict about types."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class File(StoredObject):
    """A published file."""

    sha256: Name
    size: Annotated[int, Field(ge=0)]


class Manifest(StoredObject):
    """versions/<N>/manifest.json."""

    model: Name
    version: Number
    identity: Name
    files: Annotated[dict[str, File], Field(min_length=1)]
    metadata: dict[str, Any]


class Claim(StoredObject):
    """claims/<N>.json; one without a content is nobody's to continue, one without a date is from long ago."""

    identity: Name
    content: str = ""
    claimed_at: str = ""

    @field_validator("claimed_at")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        if text and datetime.datetime.fromisoformat(text).tzinfo is None:
            raise ValueError("has no time zone")
        return text


class Serving(StoredObject):
    """A champion, as alias and comparisons name it."""

    version: Number
    manifest_digest: Name
    promotion: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]


class Alias(Serving):
    """aliases/champion.json, and each of promotions/."""

    previous_version: Number | None = None
    kind: str = "promotion"
    approver: str | None = None
    reason: str = ""
    test_split: str | None = None
    promoted_at: str = ""


class Standing(StoredObject):
    """standings/<N>.json."""

    standing: Literal["proven", "rejected", "removed"]
    manifest_digest: Name
    reason: str
    kind: str = "promotion"
    test_split: str | None = None
    compared_with: Serving | None
