"""What a model must show before it may replace the one that serves: as configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from frostline.section import Number, Section

Share = Annotated[Number, Field(ge=0.0, le=1.0)]
Limit = Annotated[Number, Field(ge=0.0)]


class GateConfig(Section):
    """Floors, the comparison with the champion, and limits. A floor or limit of 0 is off."""

    min_accuracy: Share = Field(0.5, description="floor of the test accuracy (0..1); 0: none")
    min_class_recall: Share = Field(0.0, description="floor of every class's recall (0..1); 0: none")
    min_slice_accuracy: Share = Field(0.0, description="floor of every metadata slice's accuracy (0..1); 0: none")
    comparison: Literal["non_inferiority", "superiority"] = Field(
        "non_inferiority", description="what must be shown against the champion: not worse by margin, or better"
    )
    margin: Share = Field(
        0.02, description="non_inferiority only: how much worse than the champion still counts as not worse (accuracy)"
    )
    slice_margin: Share = Field(
        0.1, description="how much worse than the champion a class or slice may be shown to be (accuracy)"
    )
    confidence: Annotated[Number, Field(gt=0.5, lt=1.0)] = Field(
        0.95, description="of each one-sided statement that decides, and of each interval that is shown"
    )
    min_agreement: Share = Field(
        0.995, description="share of images that the training and the serving input path must label alike; 0: any"
    )
    max_calibration_error: Share = Field(0.0, description="limit of the expected calibration error (0..1); 0: none")
    max_latency_ms: Limit = Field(
        0.0, description="limit of the 95th percentile of one image's latency, in ms; 0: none"
    )
    max_size_mb: Limit = Field(0.0, description="limit of the exported model's size, in megabytes (1e6 bytes); 0: none")
    approval: Literal["none", "required"] = Field(
        "none", description="required: a promoted model waits for a person's approval before it serves"
    )
