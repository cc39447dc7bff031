"""What featurize writes, and what the store holds about features of the frozen prefix."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from frostline.documents.data import SplitName
from frostline.documents.kinds import Document, Kind, Stored


class CacheUse(TypedDict):
    """What is cached for one phase, see `frostline.features.cache_plan.Use`."""

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


class ProbeAnswers(TypedDict):
    """What a linear probe answers, fitted on features in bfloat16 and in float32, see `frostline.features.probe`."""

    shift: float
    changed: int
    lost: float


class Agreement(TypedDict):
    """Features in bfloat16 compared with those in float32, see `frostline.features.trial`.

    `noise` is absent where all images have the same features, `probe` where the sample is too small for one.
    """

    images: int
    noise: NotRequired[float]
    probe: NotRequired[ProbeAnswers]
    agrees: bool


class PrecisionVerdict(Stored):
    """The type that a prefix computes in, and why; `uri` is where the verdict is stored, empty if no sample was tried.

    `trial` has what was measured on the sample; an earlier version wrote other measures, beside these fields.
    """

    computed_in: str
    reason: str
    uri: NotRequired[str]
    trial: NotRequired[Agreement]


class MadeFeatures(TypedDict):
    """A shard's features; `computed` counts images that went through the prefix, `reused` those found in the store."""

    sets: list[FeatureSetRow]
    verdicts: dict[str, PrecisionVerdict]
    computed: int
    reused: int


class SampledImage(TypedDict):
    """An image that training proves, see `frostline.features.sample`; the fields are those of the manifest."""

    id: str
    uri: str
    offset: int
    size: int
    sha256: str
    label: int
    split: SplitName


class Features(Stored, MadeFeatures):
    """features.json of a shard: what is cached for each phase, the shard's features, and images to prove."""

    uses: list[CacheUse]
    sample: NotRequired[list[SampledImage]]  # an earlier version wrote none


class PackContent(RowLayout):
    """What a pack holds: the ids of its images in the order of their rows, the SHA-256 of each row, and which kind of
    device computed them."""

    ids: list[str]
    digests: list[str]
    computed_on: str


class FeaturePack(Stored, PackContent):
    """The sidecar of a pack in the store; `seal` is the digest of its content."""

    seal: str


FEATURES = Document[Features]("features", "features.json")
PRECISION = Kind[PrecisionVerdict]("precision")
FEATURE_PACK = Kind[FeaturePack]("feature_pack")
