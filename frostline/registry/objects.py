"""The JSON objects of a registry: what they must contain when they are read, and the bytes that are written.

Anyone who can write to the registry may have written them, so every value is checked. Unknown keys are ignored.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from frostline import artifacts

Number = Annotated[int, Field(ge=1, le=999_999_999)]
Name = Annotated[str, Field(min_length=1)]


class StoredObject(BaseModel):
    """Base of all: immutable, strict about types."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class Record(StoredObject):
    """An object with a file of its own. The order of its fields is the order of the keys in the file."""

    KIND: ClassVar[str]  # of its schema

    def encode(self) -> bytes:
        """The file's content."""
        return artifacts.encode(self.KIND, self.model_dump())


class File(StoredObject):
    """A published file."""

    sha256: Name
    size: Annotated[int, Field(ge=0)]


class Manifest(Record):
    """versions/<N>/manifest.json, as far as the registry relies on it."""

    KIND = "version"
    model: Name
    version: Number
    identity: Name
    files: Annotated[dict[str, File], Field(min_length=1)]
    metadata: dict[str, Any]


class Claim(Record):
    """claims/<N>.json: who took a number, and when.

    Attributes:
        identity: what the version is; publishing the same again gives the existing version.
        content: digest of everything to be published. Nobody can resume a claim without one.
        claimed_at: ISO 8601, UTC, by the clock of the last publisher that resumed it. A claim without it is old.
    """

    KIND = "claim"
    model: Name
    version: Number
    identity: Name
    content: str = ""
    claimed_at: str = ""

    @field_validator("claimed_at")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        if text and datetime.datetime.fromisoformat(text).tzinfo is None:
            raise ValueError("has no time zone")
        return text


class Alias(StoredObject):
    """The champion as it was when the alias was read; `promotion` is the precondition for changing it.

    `promotion` is the promotion's own name and not a storage generation, so it stays valid in a copied or restored
    registry.
    """

    version: Number
    manifest_digest: Name
    promotion: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]


class Promotion(Record):
    """One change of the alias: aliases/champion.json, and each file in promotions/.

    Attributes:
        version: the champion from then on; `previous_version` is the one it replaced, None if there was no champion.
        kind: `promotion` by push, `approval` or `rollback` by a person.
        approver: the person; None for a push.
        test_split: digest of the test split that decided; None for a rollback, and where the version has none.
        promoted_at: ISO 8601, UTC.
        promotion: name of this change.
    """

    KIND = "alias"
    model: Name
    version: Number
    manifest_digest: Name
    previous_version: Number | None = None
    kind: str = "promotion"
    approver: str | None = None
    reason: str = ""
    test_split: str | None = None
    promoted_at: str = ""
    promotion: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]

    def alias(self) -> Alias:
        """The champion since this change."""
        return Alias(version=self.version, manifest_digest=self.manifest_digest, promotion=self.promotion)


class Standing(Record):
    """standings/<N>.json: what is known about a version.

    Attributes:
        standing: `proven`, `rejected` or `removed`; the last two are final.
        manifest_digest: of the version that this is about.
        compared_with: the champion that a proven version may replace; None if there was none.
        kind: what it was proven for; an interrupted rollback must not look like a candidate.
        test_split: digest of the test split of the comparison.
        reason: why it was rejected or removed.
    """

    KIND = "standing"
    model: Name
    version: Number
    standing: Literal["proven", "rejected", "removed"]
    manifest_digest: Name
    compared_with: Alias | None
    kind: str = "promotion"
    test_split: str | None = None
    reason: str
