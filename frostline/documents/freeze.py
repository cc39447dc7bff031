"""What plan writes, and the freeze certificate that train writes after following the plan."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from frostline.documents.kinds import Document, Stored


class Policy(TypedDict, total=False):
    """The freeze section as configured: exactly one of the first seven keys, and the settings below them.

    The policy of a later phase has one of the first seven keys only.
    """

    head_only: Literal[True]
    none: Literal[True]
    first_layers: int
    through: str
    blocks: list[str]
    match: str
    fraction: float
    batch_norm: Literal["freeze", "follow"]
    phases: list[PhaseSection]
    layer_lr_decay: float


class PhaseSection(TypedDict):
    """A later phase as configured."""

    policy: Policy
    epochs: int
    learning_rate: float


class Totals(TypedDict):
    """Counts of layers and parameters in a part of the backbone; parameters include BatchNorm statistics."""

    layers: int
    weighted_layers: int
    parameters: int
    frozen_layers: int
    frozen_parameters: int
    trainable_parameters: int


class Boundary(TypedDict):
    """The layer up to which no weight changes.

    `flops_share` is the fraction (0..1) of the backbone's FLOPs up to there, `flops_below` their number in a forward
    pass over one image. `shape` is the layer's output for one image ([height, width, channels]; [channels] after the
    head's pooling), `feature_bytes` its size as float32.
    """

    layer: str
    block: str
    parameters_below: int
    flops_share: float
    flops_below: int
    shape: list[int]
    feature_bytes: int


class BlockRow(Totals):
    """A block of the backbone; `flops` counts a forward pass over one image."""

    name: str
    last_layer: str
    flops: int


# A layer; `rule` says what decided whether it is frozen. In this form because `class` is a keyword of Python.
LayerRow = TypedDict(
    "LayerRow", {"name": str, "block": str, "class": str, "parameters": int, "frozen": bool, "rule": str}
)


class Resolved(TypedDict):
    """A policy resolved against the backbone; `frozen` lists the names of the frozen layers."""

    totals: Totals
    boundary: Boundary | None
    frozen: list[str]


class LaterPhase(Resolved):
    """A phase after the first."""

    policy: Policy
    epochs: int
    learning_rate: float


class FreezePlan(Stored):
    """freeze_plan.json; totals, boundary, blocks and layers describe the first phase."""

    backbone: str
    image_size: int
    policy: Policy
    totals: Totals
    boundary: Boundary | None
    blocks: list[BlockRow]
    layers: list[LayerRow]
    phases: list[LaterPhase]


class ResolvedWeights(TypedDict):
    """A reference to weights, what it resolved to, and the digest of the weights."""

    reference: str
    resolved: str
    digest: str


class WeightsSource(Stored, ResolvedWeights):
    """source.json of the weights: `uri` is their address in the store."""

    uri: str


class TensorRecord(TypedDict):
    """A tensor's digests, before the first phase and after each; `frozen` means frozen in all phases."""

    frozen: bool
    digests: list[str]


class PhaseProof(TypedDict):
    """Which tensors changed in one phase; `moved` lists frozen ones, by name."""

    phase: int
    policy: Policy
    verified: bool
    frozen_tensors: int
    moved: list[str]
    unmoved_trainable: list[str]
    frozen_with_optimizer_slots: list[str]


class Comparison(TypedDict):
    """The backbone before and after every phase, compared with the plan; `moved` lists frozen tensors that changed."""

    verified: bool
    frozen_tensors: int
    trainable_tensors: int
    replicas: int
    moved: list[str]
    unmoved_trainable: list[str]
    plan_digest: str
    source_digest: str
    phases: list[PhaseProof]
    tensors: dict[str, TensorRecord]


class Certificate(Stored, Comparison):
    """freeze_certificate.json: the comparison, a model and its files; `certificate_digest` seals them."""

    model_digest: str
    weights_digest: str
    files: dict[str, str]
    certificate_digest: NotRequired[str]


FREEZE_PLAN = Document[FreezePlan]("freeze_plan", "freeze_plan.json")
WEIGHTS_SOURCE = Document[WeightsSource]("weights", "source.json")
CERTIFICATE = Document[Certificate]("freeze_certificate", "freeze_certificate.json")
