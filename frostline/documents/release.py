"""What gate, push and hold write, and what the registry and verify say about a version."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from frostline.documents.data import Validation
from frostline.documents.evaluation import Interval
from frostline.documents.freeze import Policy
from frostline.documents.kinds import Document, Stored


class CheckRow(TypedDict):
    """A check of the gate; `value` is what was measured and `limit` its limit, where each is one number."""

    name: str
    verdict: Literal["pass", "fail", "inconclusive"]
    value: float | None
    limit: float | None
    reason: str


class Decision(Stored):
    """decision.json; `examples_needed` is roughly how many test images an inconclusive verdict would need.

    `becomes_reference` says whether the model, once it is the champion, is what later ones are compared with. Decisions
    made before there were references lack it and `slices`.
    """

    verdict: Literal["promote", "hold", "inconclusive"]
    model_digest: str | None
    evaluation_digest: str | None
    approval: Literal["none", "required"]
    config: dict[str, Any]
    checks: list[CheckRow]
    reason: str
    notes: list[str]
    examples_needed: int | None
    slices: NotRequired[list[SliceRow]]
    becomes_reference: NotRequired[bool]


class SliceRow(TypedDict):
    """A class or metadata slice, compared with a version; `gain` is the model's accuracy minus that version's.

    `smallest` is the smallest loss (0..1) that the check could have shown on so many images if the model gained none of
    them; None if the slice is too small for any.
    """

    against: Literal["champion", "reference"]
    column: str
    value: str
    examples: int
    gain: float
    smallest: float | None
    verdict: Literal["pass", "fail"]


class Held(Stored):
    """held.json: why the model was not pushed."""

    verdict: Literal["hold", "inconclusive"]
    reason: str
    checks: list[CheckRow]


class Published(Stored):
    """version.json: the version that was pushed, and the outcome in one line."""

    model: str
    version: int
    uri: str
    manifest_digest: str
    outcome: str


class FileEntry(TypedDict):
    """A published file."""

    sha256: str
    size: int


class VersionMetadata(TypedDict):
    """What a version's manifest says about the model; parameters are counts."""

    labels: list[str]
    image_size: int
    backbone: str
    policy: Policy
    parameters: int
    frozen_parameters: int
    accuracy: Interval
    test_split: str


class VersionManifest(Stored):
    """manifest.json of a version: `content` is the digest of identity, files and metadata."""

    model: str
    version: int
    identity: str
    content: str
    files: dict[str, FileEntry]
    metadata: VersionMetadata


class VerifyRow(TypedDict):
    """A check of `frostline verify`."""

    name: str
    passed: bool
    reason: str


class Verification(Stored):
    """What `frostline verify --json` prints; `moved` has the frozen tensors that changed."""

    verified: bool
    frozen_tensors: int
    moved: list[str]
    unmoved_trainable: list[str]
    checks: list[VerifyRow]


DECISION = Document[Decision]("decision", "decision.json")
PUBLISHED_VALIDATION = Document[Validation]("validation", "validation.json")
HELD = Document[Held]("held", "held.json")
PUBLISHED = Document[Published]("published", "version.json")
REVIEW_FILE = "decision.md"
SERVICE_FILE = "inference_service.yaml"
MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "model.sig"  # of a version, beside its manifest, which does not list it
DECISION_FILES = (DECISION.file, REVIEW_FILE, PUBLISHED_VALIDATION.file)  # what is published of them
