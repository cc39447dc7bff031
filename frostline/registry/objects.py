"""The JSON objects of a registry: what they must contain when they are read, and the bytes that are written.

Anyone who can write to the registry may have written them, so every value is checked. Unknown keys are ignored where
the object has a seal: a later version may have written them.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from frostline import artifacts, digests
from frostline.errors import ConfigError
from frostline.text import one_line

_LONGEST = 500  # characters of a person's name or reason

SEAL = "seal"  # key of the digest of everything else in a record
SEALED_BY_CONTENT = ("identity", "files", "metadata")  # of a version's manifest: its `content` is their digest
LAST_NUMBER = 999_999_999  # names of stored files and references have at most nine digits
Number = Annotated[int, Field(ge=1, le=LAST_NUMBER)]
Name = Annotated[str, Field(min_length=1)]
AttemptName = Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")]


def now() -> str:
    """The time, as all objects have it: ISO 8601, UTC, whole seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def check_words(field: str, text: str) -> None:
    """Raise ConfigError unless what a person gives for the record is 1 to 500 printable characters on one line."""
    if not text.strip() or len(text) > _LONGEST or not text.isprintable():
        raise ConfigError(f"--{field}", text[:60], f"expected 1 to {_LONGEST} printable characters on one line")


class StoredObject(BaseModel):
    """Base of all: immutable, strict about types."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _can_be_shown(cls, value: Any) -> Any:
        """Line breaks and controls become spaces: names and reasons end in logs, pages and comments of YAML files."""
        return one_line(value, len(value)) if isinstance(value, str) and not value.isprintable() else value


class Record(StoredObject):
    """An object with a file of its own. The order of its fields is the order of the keys in the file."""

    KIND: ClassVar[str]  # of its schema

    def encode(self) -> bytes:
        """The file's content, with a seal: the digest of everything else."""
        content = self.model_dump()
        return artifacts.encode(self.KIND, {**content, SEAL: digests.of_json(content)})


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


class Rate(StoredObject):
    """An accuracy with its interval, 0..1."""

    value: Annotated[float, Field(ge=0.0, le=1.0)]
    low: Annotated[float, Field(ge=0.0, le=1.0)]
    high: Annotated[float, Field(ge=0.0, le=1.0)]


class Against(StoredObject):
    """A version that a model was compared with; `gain` is the model's accuracy minus its own on the same images.

    Attributes:
        gain: -1..1; None if the two could not be compared.
        pinned: whether a person named it as the reference.
    """

    version: Number
    manifest_digest: Name
    gain: Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    pinned: bool = False


class Attempt(Record):
    """attempts/<id>.json: a model was evaluated on test images, and what became of it.

    Attributes:
        attempt: a digest of model, test images and champion, so that a repeated evaluation is the same attempt.
        evaluated_at: ISO 8601, UTC.
        images: number of test images; `sketch` says which ones.
        champion, reference: what it was compared with; None if there was no champion.
        outcome: the first word of what push or hold returned; None if the run ended before that.
        version: what was published, if anything was.
        becomes_reference: whether the version, once it is the champion, is the reference of later ones.
        predictions: SHA-256 of the stored predictions, predictions/<id>.parquet.
    """

    KIND = "attempt"
    model: Name
    attempt: AttemptName
    evaluated_at: str
    model_digest: Name
    images: Annotated[int, Field(ge=1)]
    sketch: list[str]
    accuracy: Rate
    champion: Against | None
    reference: Against | None
    outcome: Literal["pushed", "candidate", "held"] | None = None
    reason: str = ""
    version: Number | None = None
    becomes_reference: bool = False
    predictions: str | None = None


class Pin(Record):
    """pins/<id>.json: a person named the reference, or ended that; the last one holds.

    Attributes:
        version: the reference; None where evidence decides again.
        manifest_digest: of that version.
        approver, reason: who and why, for the record.
        pinned_at: ISO 8601, UTC.
    """

    KIND = "pin"
    model: Name
    version: Number | None
    manifest_digest: Name | None
    approver: str
    reason: str
    pinned_at: str


class Promotion(Record):
    """One change of the alias: aliases/champion.json, and each file in promotions/.

    Attributes:
        version: the champion from then on; `previous_version` is the one it replaced, None if there was no champion.
        kind: `promotion` by push, `approval` or `rollback` by a person.
        approver: the person; None for a push.
        test_split: digest of the test split that decided; None for a rollback, and where the version has none.
        attempt: name of the evaluation that decided; None for a rollback, and in registries made before attempts.
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
    attempt: AttemptName | None = None
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
        attempt: name of the evaluation, as in `Promotion`.
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
    attempt: AttemptName | None = None
    reason: str
