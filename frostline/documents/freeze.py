"""What plan writes, and the freeze certificate that train writes."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from frostline.documents.kinds import Document, Stored


class Policy(TypedDict, total=False):
    """How the frozen layers are chosen: exactly one of these, see `frostline.freeze.config.PolicyConfig`."""

    head_only: Literal[True]
    none: Literal[True]
    first_layers: int
    through: str
    blocks: list[str]
    match: str
    fraction: float


class LaterPhaseSection(TypedDict):
    """A phase after the first, as configured."""

    policy: Policy
    epochs: int
    learning_rate: float


class FreezeSection(Policy, total=False):
    """The freeze section as configured; without phases or learning rate decay where none are configured."""

    batch_norm: Literal["freeze", "follow"]
    phases: list[LaterPhaseSection]
    layer_lr_decay: float


class Totals(TypedDict):
    """Layers and parameters of the backbone or a block; parameters include BatchNorm statistics."""

    layers: int
    weighted_layers: int
    parameters: int
    frozen_layers: int
    frozen_parameters: int
    trainable_parameters: int


class Boundary(TypedDict):
    """The deepest layer with only frozen layers before it.

    `parameters_below`, `flops_below` and `flops_share` (0..1) are of the layers up to it, FLOPs of a forward pass over
    one image. `shape` is its output for one image ([height, width, channels]; of the head's pooling [channels]),
    `feature_bytes` the size of that in float32.
    """

    layer: str
    block: str
    parameters_below: int
    flops_share: float
    flops_below: int
    shape: list[int]
    feature_bytes: int


class BlockRow(Totals):
    """A block of the backbone; `flops` is for a forward pass over one image."""

    name: str
    last_layer: str
    flops: int


# A layer of the backbone; in this form because `class` is a keyword of Python.
LayerRow = TypedDict(
    "LayerRow", {"name": str, "block": str, "class": str, "parameters": int, "frozen": bool, "rule": str}
)


class Resolved(TypedDict):
    """A policy resolved against the backbone; `frozen` has the names of the frozen layers."""

    totals: Totals
    boundary: Boundary | None
    frozen: list[str]


class LaterPhase(Resolved, LaterPhaseSection):
    """A phase after the first."""


class FreezePlan(Stored):
    """freeze_plan.json; totals, boundary, blocks and layers are those of the first phase."""

    backbone: str
    image_size: int
    policy: FreezeSection
    totals: Totals
    boundary: Boundary | None
    blocks: list[BlockRow]
    layers: list[LayerRow]
    phases: list[LaterPhase]


class ResolvedWeights(TypedDict):
    """A reference to weights, what it resolved to, and the digests of the weights and of the backbone's graph.

    Sources made before the graph was kept with the weights lack `graph`.
    """

    reference: str
    resolved: str
    digest: str
    graph: NotRequired[str]


class WeightsSource(Stored, ResolvedWeights):
    """source.json of the weights; `uri` is their address in the store.

    `prefixes` has the digest of the prefix up to each boundary of the plan, by layer; earlier versions wrote none.
    """

    uri: str
    prefixes: NotRequired[dict[str, str]]


class TensorRecord(TypedDict):
    """The digests of a tensor before the first phase and after each phase; `frozen` means in every phase."""

    frozen: bool
    digests: list[str]


class PhaseComparison(TypedDict):
    """The tensors before and after one phase; `moved` has the frozen ones that changed."""

    phase: int
    policy: Policy
    verified: bool
    frozen_tensors: int
    moved: list[str]
    unmoved_trainable: list[str]
    frozen_with_optimizer_slots: list[str]


class Comparison(TypedDict):
    """The backbone before and after every phase, compared with the plan.

    `graph_digest` is of the graph that the weights were resolved with; certificates made before it was kept lack it.
    """

    verified: bool
    frozen_tensors: int
    trainable_tensors: int
    replicas: int
    moved: list[str]
    unmoved_trainable: list[str]
    plan_digest: str
    source_digest: str
    graph_digest: NotRequired[str]
    phases: list[PhaseComparison]
    tensors: dict[str, TensorRecord]


class Certificate(Stored, Comparison):
    """freeze_certificate.json: the comparison, digests of the model and its files, and a digest of itself."""

    model_digest: str
    weights_digest: str
    files: dict[str, str]
    certificate_digest: NotRequired[str]


FREEZE_PLAN = Document[FreezePlan]("freeze_plan", "freeze_plan.json")
WEIGHTS_SOURCE = Document[WeightsSource]("weights", "source.json")
CERTIFICATE = Document[Certificate]("freeze_certificate", "freeze_certificate.json")
