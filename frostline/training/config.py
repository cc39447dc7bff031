"""How the model is trained, how its images are varied, and what is kept of the frozen prefix: as configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from frostline.section import Fraction, Integer, Number, Section


class TrainingConfig(Section):
    """The optimizer, its schedule, the loss, when training stops early, and how often it is saved."""

    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="rule of a step; sgd takes Nesterov's form")
    weight_decay: Annotated[Number, Field(ge=0.0)] = Field(
        0.0, description="adamw only: share of a kernel, times the learning rate, taken off it each step"
    )
    momentum: Fraction = Field(0.9, description="sgd only: share of the last step that is kept")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="the learning rate over a phase; cosine falls to 0 at its end"
    )
    warmup_steps: Annotated[Integer, Field(ge=0)] = Field(
        0, description="cosine only: steps in which the learning rate of a phase first rises from 0"
    )
    label_smoothing: Fraction = Field(0.0, description="share of a label's probability given to all classes alike")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: an image counts by how rare its class is in the training split; mean 1"
    )
    clip_norm: Annotated[Number, Field(ge=0.0)] = Field(
        0.0, description="longest gradient, over all trained weights together (L2 norm); 0: any"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="what trained layers compute in; bfloat16 is mixed: weights and losses stay float32"
    )
    patience: Annotated[Integer, Field(ge=0)] = Field(
        0, description="epochs of a phase without a better monitor, then it ends with its best weights; 0: never"
    )
    monitor: Literal["validation_loss", "validation_accuracy"] = Field(
        "validation_loss", description="what patience looks at"
    )
    synchronized_batch_norm: bool = Field(
        False, description="BatchNorm that trains takes its statistics over all replicas' images, not over its own"
    )
    checkpoint_seconds: Annotated[Integer, Field(ge=1)] = Field(
        60, description="seconds of training between two checkpoints"
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> TrainingConfig:
        if (self.weight_decay > 0) != (self.optimizer == "adamw"):
            raise ValueError(
                f"weight_decay: {self.weight_decay} does not go with optimizer {self.optimizer}; "
                "adamw needs one above 0, such as 0.004, and no other takes one"
            )
        if self.warmup_steps and self.schedule != "cosine":
            raise ValueError(f"warmup_steps: {self.warmup_steps} needs schedule: cosine")
        return self
