"""Where a model came from, for its description."""

from __future__ import annotations

import platform
from importlib import metadata

import keras
import tensorflow as tf

from frostline import digests
from frostline.documents.data import DatasetInfo
from frostline.documents.freeze import FreezePlan, WeightsSource
from frostline.documents.training import Provenance
from frostline.training.config import SessionSettings


def provenance(
    settings: SessionSettings, info: DatasetInfo, plan: FreezePlan, source: WeightsSource, image: str
) -> Provenance:
    """The source of the images and weights, a digest of the configuration, and the versions of what trained.

    Args:
        settings: of the training.
        info: the dataset.
        plan: the freeze plan.
        source: the weights that training started from.
        image: the container image.
    """
    configured = settings.model_dump(mode="json", exclude={"store"})
    return {
        "source": info["source"],
        "manifest_digest": info["manifest_digest"],
        "counts": info["counts"],
        "weights": {"reference": source["reference"], "resolved": source["resolved"]},
        "config_digest": digests.of_json({**configured, "plan": plan}),
        "versions": {
            "frostline": metadata.version("frostline"),
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
        "image": image,
    }
