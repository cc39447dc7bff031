"""What featurize writes, and what the store keeps about features of the frozen prefix."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from frostline.documents.kinds import Document, Stored


class CacheUse(TypedDict):
    """What is kept for one phase, see `frostline.features.cache_plan.Use`."""

    phase: int
    layer: str
    views: int
    bytes: int
    passes_saved: int
    reason: str


class RowLayout(TypedDict):
    """Shape and stored type of one image's features."""

    shape: list[int]
    dtype: str


class FeatureSetRow(TypedDict):
    """A set of features, see `frostline.features.builder.FeatureSet`."""

    layer: str
    view: int
    computed_in: str
    layout: RowLayout
    address: str
    packs: list[str]


class Agreement(TypedDict):
    """How far features in low precision are from those in float32, see `frostline.features.precision.compare`."""

    images: int
    relative_l2: float
    agreement: float
    agrees: bool


class PrecisionVerdict(Stored):
    """What a prefix computes in and why; `uri` is where the answer is kept, empty where none had to be found.

    Where bfloat16 was tried it also has the fields of an `Agreement`.
    """

    computed_in: str
    reason: str
    uri: NotRequired[str]
    images: NotRequired[int]
    relative_l2: NotRequired[float]
    agreement: NotRequired[float]
    agrees: NotRequired[bool]


class MadeFeatures(TypedDict):
    """What a shard's features are; `computed` images went through the prefix, `reused` ones were in the store."""

    sets: list[FeatureSetRow]
    verdicts: dict[str, PrecisionVerdict]
    computed: int
    reused: int


class Features(Stored, MadeFeatures):
    """features.json of a shard: what was decided for each phase, and its features."""

    uses: list[CacheUse]


class FeaturePack(Stored, RowLayout):
    """The sidecar of a pack in the store: the images of its rows in order, a digest of each row, and a seal."""

    ids: list[str]
    digests: list[str]
    seal: str


FEATURES = Document[Features]("features", "features.json")
PRECISION_KIND = "precision"
FEATURE_PACK_KIND = "feature_pack"
