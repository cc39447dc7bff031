"""The gate's section of the configuration: what a model must show before it can replace the one in production."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from frostline.section import Number, Section

Proportion = Annotated[Number, Field(ge=0.0, le=1.0)]
Limit = Annotated[Number, Field(ge=0.0)]


class GateConfig(Section):
    """Floors, the comparison with the champion, and limits. A floor or limit of 0 is disabled."""

    min_accuracy: Proportion = Field(0.5, description="floor for the test accuracy (0..1); 0 disables")
    min_class_recall: Proportion = Field(0.0, description="floor for the recall of every class (0..1); 0 disables")
    min_slice_accuracy: Proportion = Field(
        0.0, description="floor for the accuracy on every metadata slice (0..1); 0 disables"
    )
    comparison: Literal["non_inferiority", "superiority"] = Field(
        "non_inferiority",
        description="required against the champion: non_inferiority (not worse by more than margin) or superiority "
        "(better)",
    )
    margin: Proportion = Field(
        0.02, description="non_inferiority only: loss of accuracy against the champion that is tolerated (0..1)"
    )
    drift_margin: Proportion = Field(
        0.04,
        description="non_inferiority only: loss of accuracy against the reference, which does not move with the "
        "champion, that is tolerated however many champions replace each other (0..1; less than margin counts as "
        "margin); 0 disables",
    )
    slice_margin: Proportion = Field(
        0.1, description="hold if a class or slice is significantly worse than the champion by more than this (0..1)"
    )
    confidence: Annotated[Number, Field(gt=0.5, lt=1.0)] = Field(
        0.95, description="confidence level of every one-sided test and every interval (above 0.5, below 1)"
    )
    min_agreement: Proportion = Field(
        0.995,
        description="fraction of images that must get the same label from the training and the serving input path "
        "(0..1); 0 disables",
    )
    max_calibration_error: Proportion = Field(
        0.0, description="limit for the expected calibration error (0..1); 0 disables"
    )
    max_latency_ms: Limit = Field(
        0.0, description="limit for the 95th percentile of the latency of one image, in ms; 0 disables"
    )
    max_size_mb: Limit = Field(
        0.0, description="limit for the size of the exported model, in MB (1e6 bytes); 0 disables"
    )
    approval: Literal["none", "required"] = Field(
        "none", description="required: a promoted model waits for a person's approval before it goes into production"
    )

    @property
    def most_drift(self) -> float:
        """The drift margin that holds, 0..1: a chain of models may lose what one of them may; 0 if disabled."""
        return max(self.drift_margin, self.margin) if self.drift_margin else 0.0
