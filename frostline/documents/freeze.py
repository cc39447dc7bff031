"""What plan writes, and the certificate that train proves it with."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from frostline.documents.kinds import Document, Stored

Policy = dict[str, Any]  # a freeze section or its one policy, in JSON's types, as `FreezeConfig.section` gives it


class Totals(TypedDict):
    """Layers and parameters of some part of the backbone; parameters count statistics too."""

    layers: int
    weighted_layers: int
    parameters: int
    frozen_layers: int
    frozen_parameters: int
    trainable_parameters: int


class Boundary(TypedDict):
    """The layer up to which nothing moves.

    `flops_share` is 0..1, `flops_below` is of a forward pass over one image. `shape` is what comes out for one image
    ([height, width, channels]; of the head's pooling [channels]), `feature_bytes` its size in float32.
    """

    layer: str
    block: str
    parameters_below: int
    flops_share: float
    flops_below: int
    shape: list[int]
    feature_bytes: int


class BlockRow(Totals):
    """A block of the backbone; `flops` is of a forward pass over one image."""

    name: str
    last_layer: str
    flops: int


# One layer; in this form because `class` is a keyword of Python.
LayerRow = TypedDict(
    "LayerRow", {"name": str, "block": str, "class": str, "parameters": int, "frozen": bool, "rule": str}
)


class Resolved(TypedDict):
    """A policy resolved against the backbone; `frozen` has the names of its frozen layers."""

    totals: Totals
    boundary: Boundary | None
    frozen: list[str]


class LaterPhase(Resolved):
    """A phase after the first."""

    policy: Policy
    epochs: int
    learning_rate: float


class FreezePlan(Stored):
    """freeze_plan.json; totals, boundary and layers are of the first phase."""

    backbone: str
    image_size: int
    policy: Policy
    totals: Totals
    boundary: Boundary | None
    blocks: list[BlockRow]
    layers: list[LayerRow]
    phases: list[LaterPhase]


class WeightsSource(Stored):
    """source.json of the weights: the reference, what it stood for, the digest of the weights, and their address."""

    reference: str
    resolved: str
    digest: str
    uri: str


class TensorRecord(TypedDict):
    """A tensor's digests: before the first phase and after each; `frozen` means in all phases."""

    frozen: bool
    digests: list[str]


class PhaseProof(TypedDict):
    """What one phase did to the tensors that are frozen in it, and to the others."""

    phase: int
    policy: Policy
    verified: bool
    frozen_tensors: int
    moved: list[str]
    unmoved_trainable: list[str]
    frozen_with_optimizer_slots: list[str]


class Comparison(TypedDict):
    """The backbone before and after every phase, held against the plan."""

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
    """freeze_certificate.json: the comparison, bound to a model and its files; `certificate_digest` is its seal."""

    model_digest: str
    weights_digest: str
    files: dict[str, str]
    certificate_digest: NotRequired[str]


FREEZE_PLAN = Document[FreezePlan]("freeze_plan", "freeze_plan.json")
WEIGHTS_SOURCE = Document[WeightsSource]("weights", "source.json")
CERTIFICATE = Document[Certificate]("freeze_certificate", "freeze_certificate.json")
